/* What the page says of rights; a test compares it with the one table in src/vault/authorize.c. */
export const ROLES = ["member", "admin", "owner"] as const;
export type Role = (typeof ROLES)[number];

const everybody: readonly Role[] = ROLES;
const administration: readonly Role[] = ["admin", "owner"];
export const RIGHTS: ReadonlyArray<{ what: "see" | "ask" | "candidate" | "change" | "decide"; action: string; roles: readonly Role[] }> = [
	{ what: "see", action: "ACTION_MODELS_READ", roles: everybody },
	{ what: "ask", action: "ACTION_CHAT_USE", roles: everybody },
	{ what: "candidate", action: "ACTION_MODELS_CHANGE", roles: administration },
	{ what: "change", action: "ACTION_MODELS_CHANGE", roles: administration },
	{ what: "decide", action: "ACTION_MODELS_CHANGE", roles: administration },
];
