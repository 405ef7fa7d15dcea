/* What the stand-in server answers, and a house with some life in it. */
const MARKDOWN = `Eine **Wärmepumpe** holt Wärme aus Luft, Erde oder Wasser und hebt sie auf eine nutzbare Temperatur. Sie arbeitet wie ein Kühlschrank, nur in die andere Richtung.

### So läuft es ab

1. Ein Kältemittel nimmt draußen Wärme auf und *verdampft*.
2. Der Verdichter presst den Dampf zusammen, er wird heiß.
3. Im Haus gibt er die Wärme ab und wird wieder flüssig.

| Quelle | Jahresarbeitszahl | Aufwand |
|:--|--:|:--|
| Luft | 3,1 | gering |
| Erdreich | 4,2 | Bohrung nötig |
| Grundwasser | 4,6 | Genehmigung nötig |

Die Jahresarbeitszahl sagt, wie viel Wärme aus einer Kilowattstunde Strom wird:

\`\`\`python
def heat(power_kwh: float, spf: float = 3.1) -> float:
    """Heat delivered for the electricity used."""
    return power_kwh * spf  # kWh

print(heat(2500))  # 7750.0
\`\`\`

> Faustregel: je kleiner der Temperaturunterschied, desto sparsamer.

Mehr dazu beim [Umweltbundesamt](https://www.umweltbundesamt.de/themen/waermepumpe).
`;
const ATTACK = `Hallo <img src=x onerror="window.__xss=1"> <script>window.__xss=2</script>

[klick](javascript:window.__xss=3) und [echt](https://example.org/a?b=c)

![Bild](https://evil.example/pixel.png) <svg onload="window.__xss=4"></svg>

<a href="javascript:window.__xss=5" onclick="window.__xss=6">x</a>

<iframe src="https://evil.example"></iframe>

\`\`\`html
<script>window.__xss=7</script>
\`\`\`
`;

function cut(text, size) {
	const out = [];
	for (let i = 0; i < text.length; i += size) out.push(text.slice(i, i + size));
	return out;
}

/* The answer in pieces; an object ends it with a failure. */
export function answerFor(question) {
	if (question.includes("XSS")) return cut(ATTACK, 9);
	if (question.includes("LONG")) return cut(Array.from({ length: 3000 }, (_, i) => `${i + 1}. Zeile mit **Wort** und \`code\``).join("\n"), 400);
	if (question.includes("COUNT")) return Array.from({ length: 200 }, (_, i) => `${i + 1} `);
	if (question.includes("FAIL")) return [...cut("Der Anfang einer Antwort, die ", 6), {}];
	if (question.includes("WAIT")) return cut("Danke für die Geduld.", 4);
	return cut(MARKDOWN, 7);
}

const DAY = 86_400_000;
const TITLES = [
	["Wie funktioniert eine Wärmepumpe?", 0], ["Angebot Müller GmbH: freundlicher formulieren", 0.02], ["Excel: SVERWEIS durch XVERWEIS ersetzen", 0.1],
	["Protokoll der Teamsitzung zusammenfassen", 1], ["Stellenanzeige Buchhaltung", 1.1], ["DSGVO: Löschfristen im Überblick", 3], ["Regex für Rechnungsnummern", 4],
	["Reisekostenrichtlinie verständlich erklärt", 6], ["Python-Skript: CSV-Dateien zusammenführen", 12], ["Schulungsplan neue Mitarbeitende", 18], ["Kündigungsfrist Mietvertrag", 26],
	["Vergleich Leasing und Kauf", 48], ["Ideen für das Sommerfest", 55], ["Antwort auf Reklamation", 90],
];

const BASE = { kept: false, loaded: false, starter: false, context: 32768, capabilities: ["completion", "tools"] };
const digest = (n) => n.toString(16).padStart(2, "0").repeat(32);
const QUESTIONS = ["Fasse den Vertrag in fünf Sätzen zusammen.", "Formuliere eine freundliche Zahlungserinnerung.", "Was ist der Unterschied zwischen Skonto und Rabatt?", "Übersetze ins Englische: Wir bitten um Rückmeldung bis Freitag.", "Nenne drei Argumente für eine Wärmepumpe.", "Schreibe eine Abwesenheitsnotiz für zwei Wochen.", "Welche Fristen gelten für die Aufbewahrung von Rechnungen?", "Erkläre SVERWEIS in zwei Sätzen.", "Wie lehnt man ein Angebot höflich ab?", "Fasse diese E-Mail in Stichpunkten zusammen: …", "Was bedeutet netto 30 Tage?", "Schlage einen Betreff für die Einladung zum Sommerfest vor.", "Korrigiere: Wir haben ihnen das Packet gestern gesendet.", "Nenne Vor- und Nachteile von Leasing.", "Wie rechnet man Stunden in Industrieminuten um?", "Formuliere eine Stellenanzeige für die Buchhaltung.", "Was gehört in ein Protokoll?", "Erkläre die Mehrwertsteuer für Kinder.", "Schreibe eine Antwort auf eine Reklamation.", "Welche Angaben braucht eine Rechnung?", "Was ist eine Vollmacht?", "Plane eine Schulung von einem Tag."];

function seedModels(mock, ada) {
	const now = Date.now();
	const add = (name, n, more) => mock.models.push({ ...BASE, name, digest: digest(n), model_digest: name, modified_ms: now - n * DAY, licence: "Apache License 2.0", ...more });
	const origin = (source, n) => ({ origin: { source, person_name: "Ada Sommer", at_ms: now - n * DAY } });
	add("qwen3:8b", 3, { digest: "a3de86cd1c132c822487ededd47a324c50491393e6565cd14bafa40d0b8e686f", size: 5_230_000_000, family: "qwen3", parameters: "8.2B", quantization: "Q4_K_M", loaded: true, capabilities: ["completion", "tools", "thinking"], ...origin("registry.ollama.ai/library/qwen3:8b", 3) });
	add("mistral-small:24b", 12, { size: 14_300_000_000, family: "llama", parameters: "23.6B", quantization: "Q4_K_M", loaded: true, ...origin("registry.ollama.ai/library/mistral-small:24b", 12) });
	add("gemma3:12b", 9, { size: 8_150_000_000, family: "gemma3", parameters: "12.2B", quantization: "Q4_K_M", licence: "Gemma Terms of Use", capabilities: ["completion", "tools", "vision"], context: 131072, ...origin("hf.co/ggml-org/gemma-3-12b-it-GGUF:Q4_K_M", 9) });
	add("gemma3:4b", 5, { size: 3_340_000_000, family: "gemma3", parameters: "4.3B", quantization: "Q4_K_M", licence: "Gemma Terms of Use", capabilities: ["completion", "tools", "vision"], context: 131072, ...origin("hf.co/ggml-org/gemma-3-4b-it-GGUF:Q4_K_M", 5) });
	add("qwen2.5-coder:7b", 30, { size: 4_680_000_000, family: "qwen2", parameters: "7.6B", quantization: "Q4_K_M", loaded: true, capabilities: ["completion", "tools", "insert"] });
	add("phi4:14b", 44, { size: 9_050_000_000, family: "phi3", parameters: "14.7B", quantization: "Q4_K_M", licence: "MIT License", context: 16384 });
	add("bge-m3:latest", 60, { size: 1_160_000_000, family: "bert", parameters: "567M", quantization: "F16", licence: "MIT License", context: 8192, capabilities: ["embedding"] });
	const kept = digest(0x5e);
	add(`gemma3:4b@sha256:${kept}`, 70, { digest: kept, kept: true, size: 3_340_000_000, family: "gemma3", parameters: "4.3B", quantization: "Q4_0", licence: "Gemma Terms of Use", capabilities: ["completion", "tools", "vision"], context: 131072 });
	const at = (name, n, more = {}) => ({ model: name.split("@")[0], digest: mock.models.find((m) => m.name === name).digest, person: ada.id, person_name: ada.name, since_ms: now - n * DAY, ...more });
	const prompts = QUESTIONS.map((text, i) => ({ id: `p${i}`, text, created_ms: now - DAY }));
	const answers = QUESTIONS.map((prompt, i) => ({ prompt, old: i % 5 === 4 ? "Das ist schnell gesagt: **30 Tage** ab Rechnungsdatum, ohne Abzug." : "Gern. Hier ist ein *Vorschlag*:\n\n> Sehr geehrte Damen und Herren, bitte melden Sie sich bis Freitag bei uns.\n\nSagen Sie Bescheid, wenn es kürzer sein soll.", old_ms: 2100 + i * 31, new: i % 5 === 4 ? "Das ist schnell gesagt: **30 Tage** ab Rechnungsdatum, ohne Abzug." : "Hier ist ein Vorschlag:\n\n- **Betreff:** Rückmeldung bis Freitag\n- **Text:** Guten Tag, wir freuen uns auf Ihre Antwort bis Freitag, 12 Uhr.\n\nMit freundlichen Grüßen", new_ms: 1300 + i * 17 }));
	const trial = { id: "t1", state: "done", old_model: "qwen3:8b", old_digest: at("qwen3:8b", 0).digest, new_model: "gemma3:12b", new_digest: at("gemma3:12b", 0).digest, prompts: QUESTIONS.length, answered: QUESTIONS.length, person: ada.id, person_name: ada.name, created_ms: now - 3_600_000, note: "", answers };
	mock.aliases.set("assistant", { name: "assistant", production: at("qwen3:8b", 3, { trial: "t0" }), candidate: at("gemma3:12b", 0.2), previous: at(`gemma3:4b@sha256:${kept}`, 70), prompts, trials: [trial] });
	mock.aliases.set("code", { name: "code", production: at("qwen2.5-coder:7b", 30), prompts: [], trials: [] });
}

/* An owner, two colleagues, conversations. Returns the owner. */
export function seed(mock) {
	if (mock.seeded) return mock.seeded;
	const ada = mock.addPerson({ email: "ada@example.org", name: "Ada Sommer", role: "owner", password: seed.password });
	mock.addPerson({ email: "jonas@example.org", name: "Jonas Weber", role: "admin", password: seed.password });
	const lea = mock.addPerson({ email: "lea.brandt@example.org", name: "Lea Brandt", role: "member", password: seed.password });
	lea.created_ms -= 20 * DAY;
	const gone = mock.addPerson({ email: "t.krause@example.org", name: "Tim Krause", role: "member", password: seed.password });
	gone.state = "disabled";
	mock.instance = { ...mock.instance, has_owner: true, name: "Tresor" };
	seedModels(mock, ada);
	mock.standard = "qwen3:8b";
	for (const [title, days] of TITLES) {
		const c = mock.newConversation(ada.id, "qwen3:8b", title);
		c.created_ms = c.changed_ms = Date.now() - days * DAY - 60_000;
		const q = mock.newMessage(c, { content: title === TITLES[0][0] ? "Erkläre mir kurz, wie eine Wärmepumpe funktioniert. Bitte mit einer kleinen Tabelle und einer Beispielrechnung." : title, created_ms: c.created_ms });
		mock.newMessage(c, { role: "assistant", parent: q.id, content: MARKDOWN, model: "qwen3:8b", model_digest: mock.models.find((m) => m.name === "qwen3:8b").digest, engine_build: "llama.cpp 0.5.0 cpu", template_hash: "9c1d2f4e8b7a6053", created_ms: c.created_ms + 900, stats: { prompt_tokens: 38, cached_tokens: 24, answer_tokens: 412, queue_ms: 2, prompt_ms: 311, answer_ms: 22_400 } });
	}
	mock.keys.push({ id: "k1", name: "Monatsbericht (Skript)", hint: "x7Qa", scopes: "chat,models.read", created_ms: Date.now() - 40 * DAY, used_ms: Date.now() - DAY, expires_ms: Date.now() + 300 * DAY, person: ada.id });
	mock.keys.push({ id: "k2", name: "VS Code", hint: "9bTz", scopes: "chat,models.read", created_ms: Date.now() - 90 * DAY, revoked_ms: Date.now() - 10 * DAY, person: ada.id });
	for (const [action, object, outcome] of [["/team/v1/link/accept", "", "ok"], ["/team/v1/login", "", "ok"], ["models.change", "qwen3:8b", "begun"], ["models.change", "qwen3:8b", "ok"], ["people.change", "member", "ok"], ["/team/v1/login", "", "failed"], ["self.keys", "", "ok"], ["people.change", lea.id, "ok"], ["egress.change", "huggingface.co", "ok"]]) mock.record(ada, action, object, outcome);
	mock.seeded = ada;
	return ada;
}
seed.password = "ein guter langer Satz";

/* Three models at work, one that restarts, one that was used; the machine has 64 GB. */
export function mockFleet(mock) {
	const none = { interactive: 0, workflow: 0, batch: 0 };
	const model = (name, more) => ({
		name, digest: name, state: "ready", pinned: mock.pins.has(name), processor: "cpu", gpu_missed: false, context: 8192, sequences: 8,
		model_bytes: 0, kv_bytes: 0, resident_bytes: 0, running: none, waiting: none, requests: 0, failed: 0, loads: 1, crashes: 0, quarantined: 0,
		load_ms: 2100, expires_ms: Date.now() + 240_000, since_ms: Date.now() - 9_000_000, settings: "as chosen", tuned: "", cache_bytes: 0, disk_bytes: 0, cells: 24576, cells_used: 0,
		tokens_in: 0, tokens_cached: 0, tokens_out: 0, drafted: 0, accepted: 0, preempted: 0, first_p50_ms: -1, first_p95_ms: -1, gap_p50_ms: -1, gap_p95_ms: -1, ...more,
	});
	return {
		machine: { memory: 64e9, memory_free: 33.2e9, cpu: "AMD EPYC 9354", cores: 16, gpu: "", disk_free: 800e9 },
		queue: { running: 6, waiting: 3, limit: 512, bytes: 41_000, refused: 0 },
		models: [
			...mock.models.filter((m) => m.loaded || mock.loaded.has(m.name)).filter((m) => !["mistral-small:24b", "qwen2.5-coder:7b", "gemma3:4b"].includes(m.name)).map((m) => model(m.name, { resident_bytes: m.size * 1.2, requests: 12, tokens_in: 4200, tokens_out: 1900, since_ms: Date.now() - 1_260_000, gap_p50_ms: m.starter ? 9 : 71, gap_p95_ms: 120 })),
			model("mistral-small:24b", { resident_bytes: 17.1e9, running: { interactive: 4, workflow: 0, batch: 1 }, waiting: { interactive: 0, workflow: 0, batch: 3 }, requests: 1284, failed: 2, tokens_in: 812_400, tokens_cached: 2_411_000, tokens_out: 604_112, cache_bytes: 3.1e9, disk_bytes: 11.4e9, first_p50_ms: 420, first_p95_ms: 1900, gap_p50_ms: 61, gap_p95_ms: 140, tuned: "flash=off ubatch=256 threads=16" }),
			model("qwen2.5-coder:7b", { resident_bytes: 6.2e9, running: { interactive: 1, workflow: 0, batch: 0 }, requests: 402, tokens_in: 310_000, tokens_cached: 95_000, tokens_out: 118_000, first_p50_ms: 260, first_p95_ms: 800, gap_p50_ms: 32, gap_p95_ms: 70 }),
			model("gemma3:4b", { state: "restarting", crashes: 1, requests: 9, failed: 1, settings: "safer: flash attention off, micro-batches of 128" }),
			model("bge-m3:latest", { state: "unloaded", requests: 31, tokens_in: 9000 }),
		],
		quarantine: [{ request: "6108eb14afa276fd57670839a7658dfd1b6ffc862bdc9ca0751c1f1197de3b43", model: "gemma3:4b", at_ms: Date.now() - 600_000 }],
	};
}
