/* Sentences that the server says in English and that stand on a page: German for each of them.
 * `$1` and on are what the pattern caught. A test compares with the server's source. */
import { locale } from "./index.svelte";

type Rule = readonly [pattern: string, german: string];

const advice: readonly Rule[] = [
	["the best German answers of the list; wants a large graphics card", "das beste Deutsch der Liste; braucht eine große Grafikkarte"],
	["nearly the best and fast: reads few of its weights for each token", "fast das beste und schnell: liest je Token nur wenige seiner Gewichte"],
	["good German on a machine without a graphics card", "gutes Deutsch auf einem Rechner ohne Grafikkarte"],
	["strong in reasoning; thinks before it answers", "stark im Schließen; denkt nach, bevor es antwortet"],
	["fast for its size: reads few of its weights for each token", "schnell für seine Größe: liest je Token nur wenige seiner Gewichte"],
	["European, good German, plain answers", "europäisch, gutes Deutsch, sachliche Antworten"],
	["very good German; licence with conditions of use", "sehr gutes Deutsch; Lizenz mit Nutzungsbedingungen"],
	["good German for 16 GB machines; licence with conditions of use", "gutes Deutsch für Rechner mit 16 GB; Lizenz mit Nutzungsbedingungen"],
	["usable German on small machines; licence with conditions of use", "brauchbares Deutsch auf kleinen Rechnern; Lizenz mit Nutzungsbedingungen"],
	["runs anywhere; for short and simple texts", "läuft überall; für kurze und einfache Texte"],
	["free licence, good in reasoning", "freie Lizenz, gut im Schließen"],
	["free licence, sound German", "freie Lizenz, solides Deutsch"],
	["free licence, small", "freie Lizenz, klein"],
	["fast and good with tools; German a little stiff", "schnell und gut mit Werkzeugen; Deutsch etwas steif"],
	["widely used; German officially supported", "weit verbreitet; Deutsch wird offiziell unterstützt"],
	["strong in logic and mathematics; made for English", "stark in Logik und Mathematik; für Englisch gemacht"],
];

const doctor: readonly Rule[] = [
	["the keeper does not say how the master key is kept", "der Verwahrer sagt nicht, wie der Hauptschlüssel geschützt ist"],
	["look at the log of the service", "in das Log des Dienstes sehen"],
	["the master key lies in a file on this machine: it protects copied data and backups, not a stolen machine", "der Hauptschlüssel liegt in einer Datei auf diesem Rechner: Das schützt kopierte Daten und Sicherungen, nicht einen gestohlenen Rechner"],
	["tresor vault passphrase, or tresor vault tpm", "tresor vault passphrase oder tresor vault tpm"],
	["the master key is kept by (.+)", "der Hauptschlüssel ist geschützt durch: $1"],
	["not known", "nicht bekannt"],
	["there is a recovery sheet", "es gibt ein Wiederherstellungsblatt"],
	["there is no recovery sheet: if this machine is lost, backups cannot be opened", "es gibt kein Wiederherstellungsblatt: Geht dieser Rechner verloren, lassen sich Sicherungen nicht öffnen"],
	["make one on the page, or with: tresor recovery-sheet", "hier auf der Seite erstellen oder mit: tresor recovery-sheet"],
	["plain HTTP on loopback only", "unverschlüsseltes HTTP, nur auf diesem Rechner selbst"],
	["the certificate is good for (-?\\d+) days", "das Zertifikat gilt noch $1 Tage"],
	["put a new certificate in place and reload: systemctl reload tresor", "ein neues Zertifikat einsetzen und neu laden: systemctl reload tresor"],
	["the free space of the data directory is not known", "der freie Platz des Datenverzeichnisses ist nicht bekannt"],
	["([\\d.]+) GiB are free for data and models", "$1 GiB sind frei für Daten und Modelle"],
	["what (\\d+) models have read takes ([\\d.]+) GiB on disk, sealed; at most ([\\d.]+) GiB a model", "Was $1 Modelle gelesen haben, belegt versiegelt $2 GiB; höchstens $3 GiB je Modell"],
	["what models have read is not kept on disk", "Was Modelle gelesen haben, wird nicht auf der Platte behalten"],
	["the size of the models' cache on disk is not known", "Die Größe des Zwischenspeichers der Modelle ist nicht bekannt"],
	["remove models that nobody uses \\(tresor rm\\), or give the data directory more room", "ungenutzte Modelle entfernen (tresor rm) oder dem Datenverzeichnis mehr Platz geben"],
	["which engine builds are installed is not known", "Welche Fassungen der Engine installiert sind, ist nicht bekannt"],
	["an alias keeps an engine build that is missing or damaged here: (.+)", "ein Alias behält eine Fassung der Engine, die hier fehlt oder beschädigt ist: $1"],
	["put its folder back among the program's engines/, or let the alias take another: tresor alias set; tresor engines shows all of them", "ihren Ordner zurück in engines/ des Programms legen, oder den Alias eine andere nehmen lassen: tresor alias set; tresor engines zeigt alle"],
	["every file of the engine builds is whole; (\\d+) of aliases' versions keep one", "jede Datei der Engine-Fassungen ist unversehrt; $1 Versionen von Aliasnamen behalten eine"],
	["every page of the database was read and is whole", "jede Seite der Datenbank wurde gelesen und ist unversehrt"],
	["the database is damaged: (.*)", "die Datenbank ist beschädigt: $1"],
	["stop the service and restore the last backup: tresor restore", "den Dienst anhalten und die letzte Sicherung wiederherstellen: tresor restore"],
	["(\\d+) records, the chain is intact", "$1 Einträge, die Kette ist unversehrt"],
	["the audit log is not intact: (.*)", "das Protokoll ist nicht unversehrt: $1"],
	["keep a copy of the data directory for the inquiry, then restore the last good backup", "eine Kopie des Datenverzeichnisses für die Untersuchung aufheben, dann die letzte gute Sicherung wiederherstellen"],
	["seccomp and Landlock are on", "seccomp und Landlock sind an"],
	["not everything that confines the roles is on: (.*)", "nicht alles ist an, was die Prozesse einschränkt: $1"],
	["a kernel with Landlock \\(5.13 or newer; 6.7 for the network rules\\) and seccomp", "ein Kernel mit Landlock (5.13 oder neuer; 6.7 für die Netzwerkregeln) und seccomp"],
	["([\\d.]+) of ([\\d.]+) GiB are free; page size (\\d+) bytes(?:; GPU: (.*))?", "$1 von $2 GiB sind frei; Seitengröße $3 Byte; Grafikkarte: $4"],
	["unload a model \\(tresor stop\\), or give the machine more memory", "ein Modell entladen (tresor stop) oder dem Rechner mehr Speicher geben"],
	["there is no model yet", "es gibt noch kein Modell"],
	["tresor advise says which one fits; tresor pull brings it", "tresor advise sagt, welches passt; tresor pull holt es"],
	["the default, (.+), is a test model, not for real questions", "der Standard, $1, ist ein Testmodell, nicht für echte Fragen"],
	["the default is (.+)", "der Standard ist $1"],
	["(\\d+) loaded, (\\d+) crashes since the start(.*)", "$1 geladen, $2 Abstürze seit dem Start$3"],
	["(\\d+) models are always loaded", "$1 Modelle sind immer geladen"],
	["(.+) is pinned, but it is not loaded", "$1 soll immer geladen sein, ist es aber nicht"],
	["look at the log: it may have no room, or its file may be damaged", "im Log nachsehen: Vielleicht fehlt Speicher, oder die Datei ist beschädigt"],
	["report the model and the request's digest: the engine died with it alone", "Modell und Prüfsumme der Anfrage melden: Mit ihr allein ist die Engine abgestürzt"],
	["a model runs on the processor for want of room on the GPU: unload another, or ask with require: gpu to be refused instead", "ein Modell läuft auf dem Prozessor, weil auf der Grafikkarte kein Platz ist: ein anderes entladen, oder mit require: gpu lieber eine Absage bekommen"],
	["look at the log for the model that crashes, and pull it again", "im Log nach dem abstürzenden Modell sehen und es neu holen"],
];

const aliases: readonly Rule[] = [
	["no engine build is current here", "hier ist keine Fassung der Engine die aktuelle"],
	['the alias "(.+)" keeps the engine build (.+) already', "der Alias „$1“ behält schon die Engine-Fassung $2"],
	["an alias is a letter and then letters, digits, - and _ \\(a-z, at most (\\d+)\\)", "ein Alias ist ein Buchstabe und dann Buchstaben, Ziffern, - und _ (a-z, höchstens $1)"],
	['"(.+)" cannot be an alias', "„$1“ kann kein Alias sein"],
	['"(.+)" is an alias: a model needs another name', "„$1“ ist ein Alias: Ein Modell braucht einen anderen Namen"],
	["channel: only production and candidate can be set; a promotion makes the previous one", "setzen lassen sich nur Produktion und Kandidat; die vorherige entsteht durch eine Beförderung"],
	['the alias "(.+)" has a production version', "der Alias „$1“ hat eine Version in Produktion"],
	['the alias "(.+)" has no candidate(?: version)?', "der Alias „$1“ hat keinen Kandidaten"],
	['the alias "(.+)" has no production version', "der Alias „$1“ hat keine Version in Produktion"],
	['the alias "(.+)" has no previous version', "der Alias „$1“ hat keine vorherige Version"],
	['the alias "(.+)" has no prompts', "der Alias „$1“ hat keine Probefragen"],
	['the alias "(.+)" names this model: move or remove the alias first, or delete with --force', "der Alias „$1“ zeigt auf dieses Modell: erst den Alias umsetzen oder löschen"],
	["an alias names what this model is now, and its name is too long to keep versions", "ein Alias zeigt auf das, was dieses Modell jetzt ist, und sein Name ist zu lang, um Versionen zu behalten"],
	['the candidate of "(.+)" is its production version already', "der Kandidat von „$1“ ist schon die Version in Produktion"],
	['candidate and production of "(.+)" are the same version', "Kandidat und Produktion von „$1“ sind dieselbe Version"],
	['no accepted trial of these two versions of "(.+)" with at least (\\d+) prompts', "kein angenommener Probelauf dieser beiden Versionen von „$1“ mit mindestens $2 Probefragen"],
	['there is no alias "(.+)"', "den Alias „$1“ gibt es nicht"],
	["there is no database", "es gibt keine Datenbank"],
	["there are (\\d+) aliases: no more", "es gibt $1 Aliasnamen, mehr gehen nicht"],
	['the version of "(.+)" that the alias names is not here any more', "die Version von „$1“, auf die der Alias zeigt, ist nicht mehr da"],
	['the production version of "(.+)" is not here any more', "die Version von „$1“ in Produktion ist nicht mehr da"],
	['the candidate version of "(.+)" is not here any more', "der Kandidat von „$1“ ist nicht mehr da"],
	['a model is called "(.+)"', "ein Modell heißt „$1“"],
	['model "(.+)" cannot chat', "das Modell „$1“ kann nicht antworten"],
	["an alias has at most (\\d+) prompts", "ein Alias hat höchstens $1 Probefragen"],
	["this prompt is there already", "diese Probefrage gibt es schon"],
	["text: the prompt is empty", "die Probefrage ist leer"],
	["there is no such prompt", "diese Probefrage gibt es nicht"],
	["there is no such trial", "diesen Probelauf gibt es nicht"],
	["there is no such download", "diesen Download gibt es nicht"],
	["the trial is still running", "der Probelauf läuft noch"],
	["the trial failed: run it again", "der Probelauf ist gescheitert: noch einmal starten"],
	["the trial has (\\d+) answered prompts; it takes (\\d+) to be accepted", "der Probelauf hat $1 beantwortete Probefragen; angenommen werden kann er ab $2"],
	["a trial is running: one at a time", "ein Probelauf läuft schon: einer nach dem anderen"],
	["tokens: 1 to (\\d+)", "Token: 1 bis $1"],
	["the server was started again while it ran", "der Server wurde währenddessen neu gestartet"],
	["the server was stopped", "der Server wurde angehalten"],
	["an answer is too long", "eine Antwort ist zu lang"],
	["it did not start", "er konnte nicht beginnen"],
	["(.+) is pinned: it stays loaded", "$1 soll immer geladen sein und bleibt es"],
	["(\\w+): at most (\\d+) bytes", "$1: höchstens $2 Byte"],
	["(\\w+): not UTF-8", "$1: kein UTF-8"],
	["(\\w+): has a control character", "$1: enthält ein Steuerzeichen"],
];

const pictures: readonly Rule[] = [
	["no model here can see pictures", "kein Modell hier kann Bilder sehen"],
	['"(.+)" does not support vision', "„$1“ kann keine Bilder sehen"],
	["pictures\\[\\d+\\]: it is not a picture: PNG, JPEG and WebP are read", "das ist kein Bild: Gelesen werden PNG, JPEG und WebP"],
	["pictures\\[\\d+\\]: GIF and BMP pictures are not read; PNG, JPEG and WebP are", "GIF und BMP werden nicht gelesen, PNG, JPEG und WebP schon"],
	["pictures\\[\\d+\\]: the (PNG|JPEG|WebP) picture is damaged: .*", "das Bild ($1) ist beschädigt"],
	["pictures\\[\\d+\\]: the picture claims (\\d+) x (\\d+) pixels; at most (\\d+) a side and (\\d+) million in all are read", "das Bild gibt $1 × $2 Bildpunkte an; gelesen werden höchstens $3 je Seite und $4 Millionen im Ganzen"],
	["pictures\\[\\d+\\]: the picture has no pixels", "das Bild hat keine Bildpunkte"],
	["pictures\\[\\d+\\]: the picture's file is over (\\d+) MiB", "die Datei des Bildes ist größer als $1 MiB"],
	["pictures\\[\\d+\\]: the picture could not be decoded", "das Bild ließ sich nicht lesen"],
	["pictures\\[\\d+\\]: an animated WebP is not read; send one picture", "bewegte WebP-Bilder werden nicht gelesen"],
	["pictures\\[\\d+\\]: this conversation has no such picture", "dieses Bild gibt es in der Unterhaltung nicht mehr"],
	["pictures: a message may have (\\d+) pictures", "eine Nachricht kann $1 Bilder haben"],
	["pictures: those of a message are over (\\d+) MiB together", "die Bilder einer Nachricht sind zusammen größer als $1 MiB"],
];

const rules = [...advice, ...doctor, ...aliases, ...pictures].map(([pattern, german]) => [new RegExp(`^${pattern}$`, "s"), german] as const);

/* In the person's language, as well as it is known. */
export function serverText(text: string): string {
	return locale.language === "de" ? (german(text) ?? text) : text;
}

/* The sentence in German; null when there is none for it. */
export function german(text: string): string | null {
	for (const [pattern, to] of rules) {
		const m = pattern.exec(text);
		if (m) return to.replace(/(?:; Grafikkarte: )?\$(\d)/g, (whole, n: string) => (m[Number(n)] === undefined ? "" : whole.replace(/\$\d/, m[Number(n)] ?? "")));
	}
	return null;
}
