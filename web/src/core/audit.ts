/* A change is recorded twice: before it is done ("begun") and after. One row shows both; a beginning
 * without an end stays a row of its own, because that is what one looks for. */
import type { AuditEntry } from "../gen/api";

export interface AuditRow {
	entry: AuditEntry;
	begun: AuditEntry | null;
}

/* Entries newest first -> rows newest first. */
export function auditRows(entries: readonly AuditEntry[]): AuditRow[] {
	const rows: AuditRow[] = [];
	const open = new Map<string, AuditRow>();
	for (const entry of entries) {
		const key = entry.request ? `${entry.request} ${entry.action}` : "";
		const end = entry.outcome === "begun" && key !== "" ? open.get(key) : undefined;
		if (end) {
			end.begun = entry;
			open.delete(key);
			continue;
		}
		const row: AuditRow = { entry, begun: null };
		rows.push(row);
		if (entry.outcome !== "begun" && key !== "") open.set(key, row);
	}
	return rows;
}
