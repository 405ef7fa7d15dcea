import { expect, test } from "vitest";
import type { AuditEntry } from "../gen/api";
import { auditRows } from "./audit";

const e = (seq: number, request: string, outcome: string, action = "models.change"): AuditEntry => ({ seq, at_ms: seq, actor: "", action, outcome, request });

test("a change is one row, a beginning without an end stays visible", () => {
	const rows = auditRows([e(6, "c", "failed"), e(5, "c", "begun"), e(4, "b", "begun"), e(3, "a", "ok"), e(2, "", "ok"), e(1, "a", "begun")]);
	expect(rows.map((r) => [r.entry.seq, r.begun?.seq ?? null])).toEqual([[6, 5], [4, null], [3, 1], [2, null]]);
});
test("different acts of one request stay apart", () => {
	expect(auditRows([e(2, "a", "ok", "login"), e(1, "a", "begun", "logout")])).toHaveLength(2);
});
