/* Lines of JSON that come in pieces (NDJSON): what Ollama's routes stream. */
export class LineParser {
	#rest = "";

	/* The values that became whole with this piece; what is no JSON is left out. */
	push(piece: string): unknown[] {
		const lines = (this.#rest + piece).split("\n");
		this.#rest = lines.pop() ?? "";
		return lines.flatMap(read);
	}

	/* The last line may have no end. */
	end(): unknown[] {
		const rest = this.#rest;
		this.#rest = "";
		return read(rest);
	}
}

function read(line: string): unknown[] {
	if (line.trim() === "") return [];
	try {
		return [JSON.parse(line)];
	} catch {
		return [];
	}
}
