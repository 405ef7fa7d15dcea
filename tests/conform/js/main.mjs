/* All checks, in the order of the clients. CONFORM_ONLY=WORDS runs those whose name contains them. */
import "./openai.mjs";
import "./openai_more.mjs";
import "./responses.mjs";
import "./anthropic.mjs";
import "./ollama.mjs";
import "./ollama_models.mjs";
import "./langchain.mjs";
import { runAll } from "./lib.mjs";

process.exit((await runAll()) ? 1 : 0);
