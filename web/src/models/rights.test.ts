import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RIGHTS, ROLES } from "./rights";

test("the page says what the server's table of rights says", () => {
	const source = readFileSync(join(import.meta.dirname, "../../../src/vault/authorize.c"), "utf8");
	for (const r of RIGHTS) {
		const row = new RegExp(`\\{ ${r.action},\\s+OBJECT_NONE,\\s+(\\w+),\\s+(\\w+),\\s+(\\w+),`).exec(source);
		expect(row, r.action).not.toBeNull();
		expect(ROLES.filter((_, i) => row?.[i + 1] === "ANY"), r.what).toEqual(r.roles);
	}
});
