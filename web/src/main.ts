import "./style/page.css";
import "./grid/grid.css";
import "uplot/dist/uPlot.min.css";
import { mount } from "svelte";
import App from "./views/App.svelte";

const target = document.getElementById("page");
if (!target) throw new Error("the page has no place to stand");
mount(App, { target });
