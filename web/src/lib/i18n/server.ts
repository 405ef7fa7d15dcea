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
	["the certificate cannot be read", "das Zertifikat ist nicht lesbar"],
	["the certificate is good for (-?\\d+) days", "das Zertifikat gilt noch $1 Tage"],
	["put a new certificate in place and reload: systemctl reload tresor", "ein neues Zertifikat einsetzen und neu laden: systemctl reload tresor"],
	["the free space of the data directory is not known", "der freie Platz des Datenverzeichnisses ist nicht bekannt"],
	["([\\d.]+) GiB are free for data and models", "$1 GiB sind frei für Daten und Modelle"],
	["remove models that nobody uses \\(tresor rm\\), or give the data directory more room", "ungenutzte Modelle entfernen (tresor rm) oder dem Datenverzeichnis mehr Platz geben"],
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

const rules = [...advice, ...doctor].map(([pattern, german]) => [new RegExp(`^${pattern}$`, "s"), german] as const);

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
