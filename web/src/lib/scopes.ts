/* What an API key may be allowed; `right` is what its person needs to have anyway. */
import type { Key } from "./i18n/index.svelte";

export const scopes: Array<{ name: string; right: string; label: Key }> = [
	{ name: "chat", right: "chat.use", label: "scope.chat" },
	{ name: "models.read", right: "models.read", label: "scope.models.read" },
	{ name: "models.change", right: "models.change", label: "scope.models.change" },
	{ name: "models.push", right: "models.push", label: "scope.models.push" },
	{ name: "people", right: "people.read", label: "scope.people" },
	{ name: "audit", right: "audit.read", label: "scope.audit" },
	{ name: "egress", right: "egress.read", label: "scope.egress" },
	{ name: "doctor", right: "doctor.read", label: "scope.doctor" },
	{ name: "metrics", right: "metrics.read", label: "scope.metrics" },
];
