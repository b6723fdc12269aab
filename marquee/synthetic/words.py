"""Words of the titles: adjectives, places, names of people, and nouns for each genre."""


def _words(text: str) -> tuple[str, ...]:
    """Split a text into words; an underscore stands for a space within a word."""
    return tuple(word.replace("_", " ") for word in text.split())


ADJECTIVES = _words("""
    Silent Crooked Golden Broken Hidden Burning Pale Restless Wooden Borrowed Forgotten Scarlet Bitter
    Gentle Frozen Hollow Electric Distant Reckless Patient Stolen Velvet Unfinished Northern Secret
    Quiet Savage Tender Wayward Crimson Ordinary Impossible Faithful Drowned Second Thirteenth Lonely
    Radiant Foolish Honest Paper Midnight Endless Rusty Stubborn Perfect Wicked Blue Amber Invisible
    Careless Final Ragged Brave Nameless
""")
PLACES = _words("""
    Lisbon Harbor_Street Alder_Creek Marrakesh Winterhaven Tallinn the_North_Pier Santa_Rosa Kilimara
    Old_Quay Montevideo the_Seventh_Floor Blackwater Trieste Route_Nine the_Salt_Flats Odessa Pinewood
    Rue_Cassini Port_Augusta Cedar_Falls the_Glass_House Bombay_Road Dunmore Havana the_Upper_Valley
    Reykjavik Juniper_Lane Samarkand the_Last_Station Galway Palermo Coldbrook the_East_Wing
    Vermilion_Bay Kyoto Ashford the_Long_Meadow
""")
NAMES = _words("""
    Clara Mr._Pemberton Ines Walter Odile Theo Mrs._Lindqvist Rosalind August Mina Captain_Bell
    Josephine Ezra Lucinda Anton Doctor_Varga Greta Felix Nora Sebastian Aunt_Ida Marlowe Petra Hugo
    Colonel_Finch Yasmin Otto Beatrix Leopold Uncle_Sandor Vera Jasper Simone Tobias Miss_Okafor Ravi
    Estelle Barnaby Lena Cornelius
""")
SHARED_NOUNS = _words("""
    Promise Summer Letter River Garden Window Stranger Season Morning Bridge Winter Key Portrait Island
    Mirror Road Hour Harvest Lantern Voyage House Orchard Bargain Afternoon Inheritance Map Neighbor
    Photograph Tide Return Witness Clock Ticket Staircase Feather Horizon Debt Silence Compass
    Anniversary
""")
GENRE_NOUNS = {
    "Action": _words("Detonator Pursuit Vanguard Ambush Showdown Bullet Interceptor Squadron Fury Countdown"),
    "Adventure": _words("Expedition Caravan Treasure Summit Castaway Lagoon Explorer Idol Rapids Monsoon"),
    "Animation": _words("Tinkerbird Teapot Puddle Dragonfly Balloon Robot Whisker Kite Acorn Snowglobe"),
    "Children": _words("Puppy Treehouse Birthday Pony Sandcastle Penguin Cupcake Tricycle Hedgehog Circus"),
    "Comedy": _words(
        "Wedding Landlord Mix-Up Honeymoon Roommate Casserole Impostor Vacation Reunion In-Laws"
    ),
    "Crime": _words("Heist Alibi Racket Informer Verdict Getaway Syndicate Ledger Forger Vault"),
    "Documentary": _words(
        "Archive Glacier Assembly_Line Migration Ballot Vineyard Reef Recipe Orchestra Strike"
    ),
    "Drama": _words("Daughter Confession Farewell Widow Kitchen Brother Verdict Homecoming Lesson Hospital"),
    "Fantasy": _words("Spell Griffin Crown Enchanter Labyrinth Sword Prophecy Moonstone Giant Realm"),
    "Film-Noir": _words("Shadow Alley Cigarette Blonde Detective Nightfall Corpse Motive Saxophone Rain"),
    "Horror": _words("Crypt Scream Cellar Séance Scarecrow Haunting Coffin Whisper Bloodmoon Doll"),
    "Musical": _words("Melody Chorus Footlight Serenade Waltz Encore Rhapsody Trumpet Cabaret Refrain"),
    "Mystery": _words(
        "Clue Disappearance Cipher Locket Lighthouse Riddle Manuscript Footprint Vicar Inquest"
    ),
    "Romance": _words(
        "Kiss Valentine Sweetheart Rendezvous Bouquet Heart Proposal Embrace Suitor Engagement"
    ),
    "Sci-Fi": _words("Orbit Android Nebula Signal Colony Paradox Starship Quantum Machine Eclipse"),
    "Thriller": _words(
        "Hostage Conspiracy Deadline Suspect Accomplice Passenger Decoy Threat Obsession Trap"
    ),
    "War": _words("Trench Regiment Armistice Convoy Sergeant Bunker Siege Deserter Medal Frontline"),
    "Western": _words("Sheriff Saddle Canyon Outlaw Stagecoach Prairie Gunslinger Homestead Mustang Dust"),
}
