package resource

// NameLetters are those of the random ends of names, as upstream's: neither
// vowels nor what looks like them, so that no words come out.
const NameLetters = "bcdfghjklmnpqrstvwxz2456789"
