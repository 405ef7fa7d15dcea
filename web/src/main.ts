import "./styles/base.css";
import "./styles/prose.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { guessLanguage, loadLanguage } from "./lib/i18n/index.svelte";

const target = document.getElementById("app");
void loadLanguage(guessLanguage()).catch(() => {}).finally(() => target && mount(App, { target }));
