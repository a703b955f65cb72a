"""The pretend provider's offer and its forty subscribers: invented people with the names of many countries."""

from dataclasses import dataclass
from enum import Enum


class Fate(Enum):
    """How a subscriber stands with the provider today."""

    PAID = "paid"  # pays on time; the newest invoice may be open, but it is not due
    LATE = "late"  # one invoice overdue and reminded of, not yet walled
    WALLED = "walled"  # overdue for longer than the grace time
    SUSPENDED = "suspended"  # by staff
    BLOCKED = "blocked"  # by staff


@dataclass(frozen=True, slots=True)
class Plan:
    """Something to buy; net cents a month, Mbit/s."""

    name: str
    price: int
    down: int
    up: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who pays, with one service whose login is also the name of their mailbox."""

    name: str
    login: str
    address: str
    plan: str
    fate: Fate = Fate.PAID


PLANS = (
    Plan("Start", 1990, 50, 10),
    Plan("Home", 2990, 100, 20),
    Plan("Pro", 4490, 300, 60),
    Plan("Business", 8900, 1000, 200),
)

PEOPLE = (
    Person("Amélie Laurent", "amelie.laurent", "14 rue des Tanneurs\n67000 Strasbourg, France", "Home"),
    Person("佐藤 陽菜", "sato.hina", "〒606-8501 京都市左京区吉田本町 36-1\n日本", "Pro"),
    Person("Jonas Lindqvist", "jonas.lindqvist", "Björkvägen 7\n582 45 Linköping, Sverige", "Home", Fate.LATE),
    Person("Ελένη Παπαδοπούλου", "eleni.papadopoulou", "Οδός Ερμού 52\n105 63 Αθήνα, Ελλάδα", "Start"),
    Person("Mateusz Wójcik", "mateusz.wojcik", "ul. Młyńska 18/4\n61-730 Poznań, Polska", "Home", Fate.WALLED),
    Person("Олена Шевчук", "olena.shevchuk", "вул. Коперника 23, кв. 8\n79000 Львів, Україна", "Home"),
    Person("Saoirse O’Sullivan", "saoirse.osullivan", "5 Quay Street\nGalway H91 X2K8, Éire", "Pro"),
    Person("İbrahim Çelik", "ibrahim.celik", "Kıbrıs Şehitleri Cd. 41/3\n35220 İzmir, Türkiye", "Start"),
    Person("Müller & Söhne <Elektro> GmbH", "mueller.soehne", "Gewerbepark 3\n4020 Linz, Österreich", "Business"),
    Person("فاطمة الزهراء بناني", "fatima.bennani", "12 زنقة الورود\n20000 الدار البيضاء، المغرب", "Home", Fate.LATE),
    Person("Nguyễn Thị Minh Anh", "nguyen.minhanh", "27 ngõ 5 phố Hàng Bông\nHà Nội, Việt Nam", "Start"),
    Person("Kwame Mensah", "kwame.mensah", "8 Independence Lane\nKumasi, Ghana", "Home"),
    Person("ნინო ბერიძე", "nino.beridze", "რუსთაველის გამზირი 14\n0108 თბილისი, საქართველო", "Start", Fate.WALLED),
    Person("Jón Þórsson", "jon.thorsson", "Laugavegur 61\n101 Reykjavík, Ísland", "Pro"),
    Person("김서연", "kim.seoyeon", "대한민국 부산광역시 해운대구 우동 1로 12", "Pro"),
    Person("Lucía Fernández Gómez", "lucia.fernandez", "Calle de la Paz 9, 3.º B\n46003 Valencia, España", "Home"),
    Person("אורי לוי", "uri.levy", "רחוב הרצל 30\nחיפה 3312103, ישראל", "Home"),
    Person("Chidinma Okafor", "chidinma.okafor", "19 Zik Avenue\nEnugu, Nigeria", "Start", Fate.LATE),
    Person("Bäckerei Hörmann", "baeckerei.hoermann", "Kirchplatz 2\n5020 Salzburg, Österreich", "Business"),
    Person("प्रिया शर्मा", "priya.sharma", "४२ महात्मा गांधी मार्ग\nजयपुर 302001, भारत", "Home"),
    Person("Tomáš Dvořák", "tomas.dvorak", "Masarykova 11\n602 00 Brno, Česko", "Home", Fate.SUSPENDED),
    Person("王小明", "wang.xiaoming", "中国浙江省杭州市西湖区文三路 88 号", "Pro"),
    Person("Isabela Souza", "isabela.souza", "Rua das Laranjeiras 210\nFlorianópolis – SC, Brasil", "Home"),
    Person("Maarten van der Heijden", "maarten.vdheijden", "Oudegracht 119\n3511 AL Utrecht, Nederland", "Home"),
    Person("Дмитрий Орлов", "dmitri.orlov", "ул. Абая 17, кв. 52\n050000 Алматы, Қазақстан", "Start", Fate.WALLED),
    Person("สมชาย ใจดี", "somchai.jaidee", "99 ถนนนิมมานเหมินท์\nเชียงใหม่ 50200 ประเทศไทย", "Start"),
    Person("Aoife & Niamh Design Ltd", "aoife.niamh", "Unit 4, The Old Mill\nCork T12 K5P2, Éire", "Business"),
    Person("Giulia Rossetti", "giulia.rossetti", "Via San Felice 33\n40122 Bologna, Italia", "Home"),
    Person("ሰላም ተስፋዬ", "selam.tesfaye", "ቦሌ መንገድ 7\nአዲስ አበባ፣ ኢትዮጵያ", "Start"),
    Person("Anders Sørensen", "anders.soerensen", "Nørregade 28\n5000 Odense C, Danmark", "Pro", Fate.LATE),
    Person("Zsófia Kovács", "zsofia.kovacs", "Kossuth Lajos u. 15\n6720 Szeged, Magyarország", "Home"),
    Person("Rania Haddad", "rania.haddad", "Rue Gouraud 48\nBeyrouth, Liban", "Home"),
    Person("Nikola Jovanović", "nikola.jovanovic", "Zmaj Jovina 6\n21000 Novi Sad, Srbija", "Start", Fate.BLOCKED),
    Person("Hotel Drei Föhren", "hotel.foehren", "Seepromenade 1\n9220 Velden, Österreich", "Business", Fate.WALLED),
    Person("Inês Carvalho", "ines.carvalho", "Travessa do Poço 5\n4050-500 Porto, Portugal", "Home"),
    Person("Ieva Bērziņa", "ieva.berzina", "Brīvības iela 74–12\nRīga LV-1011, Latvija", "Start"),
    Person("Tane Rāwiri", "tane.rawiri", "31 Manuka Street\nNelson 7010, Aotearoa", "Home"),
    Person("Lea Zimmermann", "lea.zimmermann", "Wiesenweg 22\n6850 Dornbirn, Österreich", "Pro", Fate.LATE),
    Person("আরিফ হোসেন", "arif.hossain", "১৮ লেক রোড\nঢাকা ১২০৫, বাংলাদেশ", "Home"),
    Person(
        "Emma Kowalczyk-Steiner", "emma.steiner", "Mariahilfer Gürtel 9\n1150 Wien, Österreich", "Home", Fate.WALLED
    ),
)
