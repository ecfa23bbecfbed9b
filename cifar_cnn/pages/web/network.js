// The network in the browser: loaded when it is first needed, kept for later, asked about pictures.
// Nothing here sends anything: every request fetches a file of this folder.

import {channelsFirst, fitSquare, toGrey} from "./pillow.js";
import {decode, learn} from "./pixels.js";

const here = name => new URL(name, import.meta.url).href;
const CACHE = "cifar_cnn " + here(".");  // offline.js reads it, too
const NEWEST = {cache: "no-cache"};      // what changes under its old name is asked for anew

// --- Loading ---

// A file of `size` bytes whose name changes with its content. `tell` hears how many bytes have come.
async function kept(name, size, cache, tell) {
  const found = await cache?.match(here(name));
  if (found) return new Uint8Array(await found.arrayBuffer());
  const response = await fetch(here(name));
  if (!response.ok) throw new Error(`${name} is missing (${response.status})`);
  const parts = [], reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    tell(part.value.length);
  }
  const content = new Uint8Array(await new Blob(parts).arrayBuffer());
  if (content.length !== size) throw new Error(`${name} is not whole (${content.length} of ${size} bytes)`);
  await cache?.put(here(name), new Response(content)).catch(() => {});  // no room to keep it: it works all the same
  return content;
}

// Keep the rest of the folder, too; what an earlier network left is deleted. True: the page works without a connection.
async function keepThePage(cache, facts) {
  const files = facts.page.map(here), known = new Set([...files, ...Object.keys(facts.large).map(here)]);
  await cache.addAll(files.map(file => new Request(file, NEWEST)));
  for (const request of await cache.keys()) if (!known.has(request.url)) await cache.delete(request);
  if (!navigator.serviceWorker || !location.href.startsWith(here("."))) return false;  // a page elsewhere is not kept
  await navigator.serviceWorker.register(here("offline.js"));
  await navigator.serviceWorker.ready;
  return true;
}

// The network, ready to answer. `tell(loaded, all)` hears of the bytes.
export async function load(tell) {
  const response = await fetch(here("predictor.json"), NEWEST);
  if (!response.ok) throw new Error(`predictor.json is missing (${response.status})`);
  const facts = await response.json(), cache = await globalThis.caches?.open(CACHE).catch(() => undefined);
  const all = facts.large[facts.wasm] + facts.large[facts.network];
  let loaded = 0;
  const get = name => kept(name, facts.large[name], cache, bytes => tell(loaded += bytes, all));
  const ort = await import(here(facts.script));
  const [binary, network] = await Promise.all([get(facts.wasm), get(facts.network)]);
  Object.assign(ort.env.wasm, {numThreads: 1, wasmBinary: binary});
  const session = await ort.InferenceSession.create(network, {executionProviders: ["wasm"]});
  const offline = cache ? keepThePage(cache, facts).catch(() => false) : Promise.resolve(false);
  return new Network(facts, ort, session, offline, await learn());
}

// --- Answering ---

export class Network {
  constructor(facts, ort, session, offline, ways) {
    Object.assign(this, {facts, ort, session, offline, ways, turn: Promise.resolve()});
  }

  // What the network sees of a picture, channels × size × size bytes. Throws an error that says why it cannot.
  async prepare(blob) {
    const {image_size: size, crop_pct: crop, tall_first: tallFirst, mode} = this.facts;
    const square = fitSquare(await decode(blob, this.ways), size, crop, tallFirst);
    return mode === "L" ? toGrey(square) : channelsFirst(square, 3);
  }

  // The answers to prepared pictures. One batch after the other: the runtime takes no second one meanwhile.
  ask(pictures) {
    const answers = async () => {
      const {image_size: size, classes} = this.facts, length = pictures[0].length;
      const all = new Uint8Array(pictures.length * length);
      pictures.forEach((picture, at) => all.set(picture, at * length));
      const images = new this.ort.Tensor("uint8", all, [pictures.length, length / size ** 2, size, size]);
      const {probabilities, similarity} = await this.session.run({images});
      return pictures.map((_, at) => ({
        probabilities: Array.from(probabilities.data.slice(at * classes.length, (at + 1) * classes.length)),
        familiar: similarity.data[at] >= this.facts.similarity_limit,
      }));
    };
    return this.turn = this.turn.then(answers, answers);
  }

  // How much probability a class loses when a grey patch hides each part of the picture: `cells` × `cells` numbers.
  async occlude(picture, label) {
    const {image_size: size} = this.facts, cells = Math.min(8, size), reach = size / 8;
    const [before] = await this.ask([picture]), losses = [];
    for (let row = 0; row < cells; row++) {
      const hidden = Array.from({length: cells}, (_, column) => {
        const copy = picture.slice(), middle = cell => (cell + 0.5) * size / cells;
        const near = (at, cell) => Math.abs(at + 0.5 - middle(cell)) <= reach;
        return copy.map((value, at) => near(at % size, column) && near(Math.trunc(at / size) % size, row) ? 128 : value);
      });
      const answers = await this.ask(hidden);
      losses.push(...answers.map(answer => before.probabilities[label] - answer.probabilities[label]));
      await new Promise(resolve => setTimeout(resolve));  // the page stays awake
    }
    return {cells, losses};
  }
}
