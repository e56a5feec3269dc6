// The page's side: asks the server for a command, does it, posts the answer with the request for the next one.
// Messages are one line of JSON and the bytes of its arrays, as messages.py describes them.

const VIEWS = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

// ONNX Runtime starts one worker for every thread but the first: counting them shows how many there really are.
let workers = 0;
const PlainWorker = globalThis.Worker;
globalThis.Worker = class extends PlainWorker {
  constructor(...given) {
    super(...given);
    workers += 1;
  }
};

// The smallest module that needs 128-bit SIMD, as wasm-feature-detect has it.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

const here = (path) => new URL(path, location.href);
let ort, session, classifier, language;

const commands = {
  // Loads the runtime and the model; what a visitor waits for.
  async load({ model, data, threads }) {
    const begun = performance.now();
    ort = await import("./npm/onnxruntime-web/dist/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = here("npm/onnxruntime-web/dist/").href;
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    session = await ort.InferenceSession.create(here(model).href, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      externalData: data.map((name) => ({ path: name.replace("model/", ""), data: here(name).href })),
    });
    const load_ms = performance.now() - begun;
    const ports = (metadata) => metadata.map(({ name, type, shape }) => ({ name, type, shape }));
    return [{ load_ms, inputs: ports(session.inputMetadata), outputs: ports(session.outputMetadata) }, []];
  },

  async run(_, given) {
    const feeds = Object.fromEntries(given.map((each) => [each.name, new ort.Tensor(each.dtype, each.data, each.shape)]));
    const begun = performance.now();
    const results = await session.run(feeds);
    const ms = performance.now() - begun;
    const outputs = session.outputNames.map((name) => {
      const { type, dims, data } = results[name];
      return { name, dtype: type, shape: [...dims], data };
    });
    return [{ ms }, outputs];
  },

  async backend() {
    return [
      {
        isolated: globalThis.crossOriginIsolated,
        cores: navigator.hardwareConcurrency,
        simd: WebAssembly.validate(SIMD),
        threads: ort.env.wasm.numThreads,
        workers,
      },
      [],
    ];
  },

  // transformers.js on a published folder, as its users call it.
  async pipeline({ folder, dtype }) {
    const begun = performance.now();
    const { env, pipeline } = await library();
    classifier = await pipeline("text-classification", folder, { dtype, device: "wasm" });
    return [{ load_ms: performance.now() - begun, version: env.version }, []];
  },

  async classify({ text }) {
    const begun = performance.now();
    const answers = await classifier(text, { top_k: null });
    return [{ ms: performance.now() - begun, answers }, []];
  },

  // A language model of a published folder, opened as that folder's own bundle opens it.
  async language({ folder, script }) {
    const [transformers, { open }] = [await library(), await import(here(script).href)];
    language = await open(transformers, here("./").pathname, folder, "wasm");
    return [{ version: transformers.env.version }, []];
  },

  async tokens({ texts, special }) {
    return [{ ids: texts.map((text) => language.tokenizer.encode(text, { add_special_tokens: special })) }, []];
  },

  async follow({ ids, limit, script }) {
    const { follow } = await import(here(script).href);
    let text = "";
    const said = await follow(language, ids, { limit, show: (piece) => (text += piece) });
    return [{ said, text }, []];
  },
};

// transformers.js, told to look for models here only.
async function library() {
  const transformers = await import("./npm/@huggingface/transformers/dist/transformers.min.js");
  const { env } = transformers;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = here("./").pathname;
  env.useBrowserCache = false;
  env.useWasmCache = false;
  env.backends.onnx.wasm.wasmPaths = here("npm/@huggingface/transformers/node_modules/onnxruntime-web/dist/").href;
  env.backends.onnx.wasm.numThreads = 1;
  return transformers;
}

function unpack(buffer) {
  const bytes = new Uint8Array(buffer);
  let place = bytes.indexOf(10) + 1;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, place)));
  const arrays = header.arrays.map(({ name, dtype, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1) * VIEWS[dtype].BYTES_PER_ELEMENT;
    const data = new VIEWS[dtype](buffer.slice(place, place + size));
    place += size;
    return { name, dtype, shape, data };
  });
  return [header, arrays];
}

function pack(header, arrays) {
  const described = arrays.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  const raw = arrays.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return new Blob([JSON.stringify({ ...header, arrays: described }) + "\n", ...raw]);
}

async function answer(buffer) {
  try {
    const [{ command, ...rest }, arrays] = unpack(buffer);
    const [facts, outputs] = await commands[command](rest, arrays);
    return pack({ ok: facts }, outputs);
  } catch (error) {
    return pack({ error: String(error?.message ?? error) }, []);
  }
}

fetch("alive"); // never answered: its end tells the server that the page is gone
let reply = pack({ ok: {} }, []);
for (;;) {
  const response = await fetch("next", { method: "POST", body: reply });
  reply = response.status === 204 ? null : await answer(await response.arrayBuffer());
}
