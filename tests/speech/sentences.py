"""Plain sentences to be said aloud: of homes, shops, health, roads, schools, money, and of how people feel.

No digits, no names, and no words that are spelt in two ways: what is heard can then be compared word by word.
"""

_HOME = """
The kettle is on the stove and the water is nearly hot.
Please close the window before it starts to rain.
We bought bread, milk and a bag of apples this morning.
My brother left his coat on the chair again.
The cat sleeps on the bed when nobody is at home.
Did you feed the dog before you went to work?
There is a letter for you on the kitchen table.
The light in the hall has been broken since Monday.
I will wash the dishes if you dry them.
Where did you put the keys to the back door?
The neighbors are having a party this weekend.
Our washing machine makes a strange noise.
Can you help me carry this box upstairs?
Dinner will be ready in about ten minutes.
She planted three small trees behind the house.
The children are playing in the garden.
It was so cold that the pipes were frozen.
I forgot to buy soap and paper towels.
He painted the bedroom blue last summer.
We need a bigger table for the whole family.
Turn down the music, the baby is asleep.
The floor is wet, so be careful where you walk.
My mother makes the best soup in the world.
Who left the front door open all night?
The oven is too hot for this cake.
Put the plates in the cupboard next to the sink.
I usually get up at six and drink some coffee.
The garden looks beautiful after the rain.
There are two chairs missing from the living room.
Could you bring me a clean glass, please?
"""

_SERVICE = """
I would like to change the address for my order.
The package was supposed to arrive on Tuesday.
Can you tell me when the shop opens tomorrow?
I have been waiting on the phone for half an hour.
The shoes are too small, so I want to send them back.
Please hold the line while I look for your account.
We are sorry for the delay and thank you for waiting.
Is there anything else that I can do for you today?
The screen was broken when I opened the box.
You charged me twice for the same ticket.
I spoke to one of your people last week about this.
May I have the number on the back of the card?
Your order left our store this morning.
I never got the message that you promised to send.
The manual is missing and I cannot set it up.
Could you please repeat the last part of that?
We can offer you a new one or your money back.
I would rather talk to a person than to a machine.
This is the second time that the delivery went wrong.
The password does not work on my new phone.
Let me check that for you, it will only take a moment.
I want to cancel my contract at the end of the month.
Do you have the same shirt in a larger size?
Our technician will visit you on Friday afternoon.
How long is the guarantee on this machine?
I would like to leave a message for the manager.
The table that you ordered is out of stock.
Everything works again, you have been very helpful.
Please press the green button and wait for the sound.
Someone will call you back before the end of the day.
"""

_HEALTH = """
The doctor told me to rest for a few days.
I have had a headache since early this morning.
Take this medicine twice a day after your meals.
My left knee hurts when I walk down the stairs.
How long have you been feeling this way?
She broke her arm when she fell off the horse.
The nurse will come back with the results soon.
I am allergic to nuts and some kinds of fruit.
He has been coughing all night and cannot sleep.
You should drink more water and eat less sugar.
Is it safe to drive after taking these pills?
My father had an operation on his heart last year.
I would like to make an appointment for next week.
The cut on my hand is deep and it will not stop bleeding.
Please roll up your sleeve and relax your arm.
I feel dizzy when I stand up too quickly.
The hospital is open day and night.
They took a picture of my chest this afternoon.
Does it hurt when I press here?
The fever went down after the second day.
My eyes are red and they feel very dry.
I have not been able to eat anything since yesterday.
Walking every day is good for your heart and your mind.
The dentist says that two of my teeth must come out.
Her skin gets red whenever she sits in the sun.
You can get dressed again, everything looks fine.
"""

_DRIVING = """
Turn left at the next light and then go straight.
The bridge is closed because of the strong wind.
There is a lot of traffic on the way to the airport.
We stopped for gas and bought something to eat.
The car behind us is driving much too close.
Where is the nearest place to park?
My train leaves at eight and I am still at home.
The bus was so full that we had to stand.
You need to slow down when you pass the school.
The road is covered with snow and ice this morning.
He missed the exit and had to drive back.
One of the front tires is losing air.
Keep your eyes on the road and both hands on the wheel.
How far is it from here to the station?
The engine would not start, so we called for help.
They walked along the river until it got dark.
Our flight was delayed for almost five hours.
Please fasten your seat belt before we leave.
The map says that we should have turned right.
A truck blocked the whole street for an hour.
I took the wrong bus and ended up on the other side of town.
The taxi will be here in a few minutes.
You can cross the street now, the light is green.
Is this seat taken, or may I sit down?
We drove through the mountains and down to the sea.
"""

_SCHOOL = """
The teacher asked us to read the first two chapters.
I have to finish my homework before dinner.
What is the capital of your country?
She got the best grade in the whole class.
The test was harder than I thought it would be.
Please open your books and look at the next page.
We are learning about the history of music.
My son starts school in the first week of September.
He always sits in the last row next to the window.
Can anyone explain how plants make their food?
The library closes early on Saturdays.
I forgot my pencil, may I borrow one of yours?
They study together every Wednesday evening.
The students wrote a short story about the winter.
It is easier to learn a language when you speak it.
Seven of us went to the museum with the teacher.
Raise your hand if you know the answer.
The lesson begins when everybody is quiet.
I would like to become a nurse or a teacher.
How do you spell the word on the board?
Reading a little every day makes a big difference.
The moon goes around the earth in about a month.
Nobody understood the question, so she asked it again.
Our teacher was sick and we all went home early.
You may use a ruler, but you must not talk.
"""

_FINANCE = """
I want to open a bank account for my daughter.
The rent goes up again at the beginning of the year.
How much money is left on my card?
Please sign your name at the bottom of the page.
We saved a little every month and bought a house.
The price of bread has gone up since last winter.
You have to pay the bill before the end of the week.
I lost my wallet with all of my cards in it.
They gave me the wrong change at the store.
My pay was not on the account this morning.
The bank is closed on the weekend.
Is there a fee for taking out money abroad?
She lent him some money and never saw it again.
The letter from the tax office came today.
We cannot afford a new car this year.
He works two jobs to pay for the hospital.
Keep the receipt in case you want to return it.
I would like to pay half now and half next month.
The company is selling more than ever before.
Somebody used my card to buy a phone.
The interest on the loan is far too high.
They are looking for a cheaper place to live.
Put the coins in the machine and take your ticket.
My insurance does not pay for the broken window.
"""

_FEELINGS = """
I am so happy that you came to see me.
This is the best news that I have heard all year.
I miss my friend more than I can say.
Nothing I do ever seems to be good enough.
You never listen to me, and I am tired of it.
I am scared of what will happen tomorrow.
That was the nicest thing anyone ever did for me.
I cried all night and I do not know why.
How dare you speak to me like that?
I cannot believe that we really won.
The food smelled so bad that I felt sick.
Leave me alone, I do not want to talk to you.
I am worried about my sister, she does not answer.
Thank you, that makes me feel much better.
I was shocked when I opened the door.
It makes me angry that nobody tells the truth.
I feel safe when you are here with me.
Nobody came to my birthday and I felt so alone.
What a wonderful surprise, I did not expect that at all!
I am ashamed of what I said to her.
We laughed so much that we could hardly breathe.
I have had enough, I am leaving right now.
My hands were shaking when I heard the noise.
I am proud of you, and I always will be.
Everything feels heavy and slow these days.
That is disgusting, please take it away.
I hope that things will be easier soon.
She was afraid to walk home in the dark.
I love the way the air smells in the morning.
It hurts me that you forgot about it.
Finally it is over, I am so relieved.
I hate it when people shout at me.
"""

_TALK = """
What are you going to do on the weekend?
I think that it will be sunny this afternoon.
Have you seen the new film about the lost ship?
The concert starts at seven, so we should leave soon.
He told me the same story three times.
It has been a long time since we last met.
My phone is almost dead, can I call you later?
We should go swimming if the water is warm.
She speaks so quietly that I can hardly hear her.
I would rather stay at home and read a book.
Would you like some more tea or a piece of cake?
The old man feeds the birds in the park every morning.
That reminds me of something that happened last summer.
Why did you not say anything about it?
The game was over before it really began.
They have been friends since they were nine years old.
I do not agree, but I understand what you mean.
The sky turned dark and then the storm began.
Could we meet a little later than we planned?
You look tired, did you sleep well last night?
There were four people in front of me in the line.
I will think about it and tell you tomorrow.
It does not matter which one you choose.
The village lies between the forest and the lake.
My grandmother still writes letters by hand.
Let us start from the beginning and take our time.
He fixed the radio with nothing but a small knife.
The last bus had already left when we arrived.
I am sure that you will find a good answer.
First we eat, and then we can talk about the rest.
Two of the lamps are broken and one is missing.
Nobody knew where the sound was coming from.
"""

_GERMAN = """
Ich habe heute Morgen den Bus verpasst.
Können Sie mir bitte sagen, wo der Bahnhof ist?
Das Wetter ist heute sehr schön und warm.
Meine Schwester wohnt in einem kleinen Dorf am See.
Wir haben gestern zusammen Brot und Käse gekauft.
Der Arzt sagt, dass ich mehr schlafen soll.
Ich bin so froh, dass du endlich da bist.
Das Paket ist leider noch nicht angekommen.
Warum hast du mir nichts davon erzählt?
Die Kinder spielen jeden Nachmittag im Garten.
Ich möchte mein Geld zurück haben.
Er hat Angst, allein im Dunkeln nach Hause zu gehen.
Die Lehrerin hat uns eine schwere Frage gestellt.
Bitte machen Sie das Fenster zu, es ist kalt.
Vielen Dank für Ihre Hilfe, jetzt geht es mir besser.
"""

_SPANISH = """
Esta mañana perdí el autobús y llegué tarde al trabajo.
¿Puede decirme dónde está la estación, por favor?
Hoy hace mucho calor y no quiero salir de casa.
Mi hermana vive en un pueblo cerca del mar.
Ayer compramos pan, leche y tres manzanas.
El médico dice que debo descansar unos días.
Estoy muy contento de que estés aquí conmigo.
El paquete todavía no ha llegado a mi casa.
¿Por qué no me dijiste nada de eso?
Los niños juegan en el jardín todas las tardes.
Quiero que me devuelvan el dinero ahora mismo.
Tengo miedo de caminar sola por la noche.
La profesora nos hizo una pregunta muy difícil.
Cierra la ventana, por favor, hace mucho frío.
Muchas gracias por su ayuda, ahora me siento mejor.
"""

_FRENCH = """
Ce matin, j'ai raté le bus pour aller au travail.
Pouvez-vous me dire où se trouve la gare ?
Il fait très beau aujourd'hui et le ciel est bleu.
Ma sœur habite dans un petit village près de la mer.
Hier, nous avons acheté du pain et du fromage.
Le médecin dit que je dois dormir davantage.
Je suis très heureux que tu sois venu me voir.
Le colis n'est pas encore arrivé chez moi.
Pourquoi est-ce que tu ne m'as rien dit ?
Les enfants jouent dans le jardin tous les soirs.
Je voudrais être remboursé le plus vite possible.
J'ai peur de rentrer seule à la maison la nuit.
La maîtresse nous a posé une question difficile.
Fermez la fenêtre, s'il vous plaît, il fait froid.
Merci beaucoup pour votre aide, je me sens mieux.
"""

_CHINESE = """
今天早上我没有赶上公共汽车。
请问火车站怎么走?
今天的天气非常好,我们去公园吧。
我的妹妹住在海边的一个小城市。
昨天我们一起去超市买了面包和牛奶。
医生说我应该多休息几天。
看到你来了,我真的很高兴。
我买的东西到现在还没有收到。
你为什么不早一点告诉我?
孩子们每天下午都在院子里玩。
请你们马上把钱退给我。
晚上一个人走路回家,我很害怕。
老师问了我们一个很难的问题。
请把窗户关上,外面很冷。
谢谢你的帮助,我现在感觉好多了。
"""

ENGLISH_BY_TOPIC = {
    "home": tuple(_HOME.strip().splitlines()),
    "service": tuple(_SERVICE.strip().splitlines()),
    "health": tuple(_HEALTH.strip().splitlines()),
    "driving": tuple(_DRIVING.strip().splitlines()),
    "school": tuple(_SCHOOL.strip().splitlines()),
    "finance": tuple(_FINANCE.strip().splitlines()),
    "feelings": tuple(_FEELINGS.strip().splitlines()),
    "talk": tuple(_TALK.strip().splitlines()),
}

SENTENCES: dict[str, tuple[str, ...]] = {
    "en": tuple(line for lines in ENGLISH_BY_TOPIC.values() for line in lines),
    "de": tuple(_GERMAN.strip().splitlines()),
    "es": tuple(_SPANISH.strip().splitlines()),
    "fr": tuple(_FRENCH.strip().splitlines()),
    "zh": tuple(_CHINESE.strip().splitlines()),
}
"""By language. English stands topic after topic: take every n-th for a mixture."""
