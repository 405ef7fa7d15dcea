import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Message } from "../gen/api";
import { type Attached, filesOf, PICTURE_TYPES, PICTURES_MAX, PICTURES_MIB, picturesOf, readFile, refusal, source } from "./pictures";

const MIB = 1024 * 1024;
const png = (size: number) => ({ type: "image/png", size });
const some = (n: number, bytes = 1): Attached[] => Array.from({ length: n }, () => ({ ref: "data:image/png;base64,AA==", bytes }));
const message = (pictures?: Message["pictures"]): Message => ({ id: "01a", parent: null, role: "user", content: "", thinking: "", state: "done", label: 1, created_ms: 0, ...(pictures ? { pictures } : {}) });
const transfer = (types: string[], files: File[]) => ({ types, files }) as unknown as DataTransfer;

test("the limits are the server's", () => {
	const c = (path: string) => readFileSync(join(import.meta.dirname, "../../../src", path), "utf8");
	expect(c("proto/engine.h")).toContain(`GEN_PICTURES_MAX = ${PICTURES_MAX},`);
	expect(c("base/limits.h")).toContain(`LIMIT_PICTURES = ${PICTURES_MIB} * 1024 * 1024,`);
	expect(c("chat/chat_pictures.c")).toContain(`{ ${PICTURE_TYPES.map((t) => `"${t}"`).join(", ")} }`);
});
test("other kinds, too many and too much are refused before they are sent", () => {
	expect(refusal([], png(1))).toBeNull();
	for (const type of ["image/gif", "image/heic", "image/svg+xml", "application/pdf", ""]) expect(refusal([], { type, size: 1 }), type).toBe("kind");
	expect(refusal(some(PICTURES_MAX - 1), png(1))).toBeNull();
	expect(refusal(some(PICTURES_MAX), png(1))).toBe("many");
	expect(refusal(some(2, 5 * MIB), png(2 * MIB))).toBeNull();
	expect(refusal(some(2, 5 * MIB), png(2 * MIB + 1))).toBe("large");
});
test("a message's picture has an address of its own, and nothing else gets one", () => {
	expect(source("01a/3")).toBe("/team/v1/messages/01a/pictures/3");
	expect(source("data:image/png;base64,AA==")).toBe("data:image/png;base64,AA==");
	expect(source("//evil.example/x")).toBe("/team/v1/messages//pictures/");
	expect(source("https://evil.example/x")).toBe("/team/v1/messages/https%3A/pictures/");
});
test("a message's pictures are named by their places", () => {
	expect(picturesOf(message())).toEqual([]);
	expect(picturesOf(message([{ place: 0, type: "image/png", width: 1, height: 1 }, { place: 2, type: "image/webp", width: 1, height: 1 }]))).toEqual([{ ref: "01a/0", bytes: 0 }, { ref: "01a/2", bytes: 0 }]);
});
test("a pasted text with its picture stays text", () => {
	const file = new File(["x"], "a.png", { type: "image/png" });
	expect(filesOf(transfer(["Files"], [file]))).toEqual([file]);
	expect(filesOf(transfer(["text/plain", "text/html", "Files"], [file]))).toEqual([]);
	expect(filesOf(null)).toEqual([]);
});
test("a file becomes an address with its bytes", async () => {
	expect(await readFile(new File([new Uint8Array([137, 80, 78, 71])], "a.png", { type: "image/png" }))).toEqual({ ref: "data:image/png;base64,iVBORw==", bytes: 4 });
});
