import { type Codec, generate } from './generate.js';
import type { Ending, FromWorker, GenerateRequest, ModelConfig, ToWorker } from './messages.js';
import { RoutedModel } from './routed-model.js';
import loadKitoken, { Kitoken } from './vendor/kitoken.js';

// Computes in a worker, so that the page stays responsive and texts can be stopped.

/** Texts up to this number must be stopped. */
let stoppedUpTo = -1;

function tell(message: FromWorker): void {
  postMessage(message);
}

/** Downloads files and reports progress. */
async function download(names: readonly string[]): Promise<ArrayBuffer[]> {
  const responses = await Promise.all(
    names.map(async (name) => {
      const response = await fetch(new URL(name, import.meta.url));
      if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
      return response;
    }),
  );
  // The total is 0 from a server that does not state it, and too small from one that compresses.
  const totalBytes = responses.reduce((sum, { headers }) => sum + Number(headers.get('content-length')), 0);
  let bytes = 0;
  return Promise.all(
    responses.map(async ({ body }) => {
      const chunks: BlobPart[] = [];
      const reader = body!.getReader();
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        chunks.push(read.value);
        bytes += read.value.length;
        tell({ kind: 'loading', bytes, totalBytes });
      }
      return new Blob(chunks).arrayBuffer();
    }),
  );
}

async function open(): Promise<{ model: RoutedModel; codec: Codec }> {
  const [wasm, graph, config, tokenizerWasm, tokenizer] = (await download([
    'vendor/onnxruntime.wasm',
    'model/model.onnx',
    'model/config.json',
    'vendor/kitoken.wasm',
    'model/tokenizer.json',
  ])) as [ArrayBuffer, ArrayBuffer, ArrayBuffer, ArrayBuffer, ArrayBuffer];
  const settings: ModelConfig = JSON.parse(new TextDecoder().decode(config));
  const model = await RoutedModel.open(wasm, graph, settings);
  await loadKitoken({ module_or_path: tokenizerWasm });
  const kitoken = Kitoken.from_tokenizers(new Uint8Array(tokenizer));
  const codec: Codec = {
    encode: (text) => [...kitoken.encode(text, false)],
    bytesOf(id) {
      try {
        return kitoken.decode(Uint32Array.of(id), false);
      } catch {
        // Some ids of the model may have no token.
        return new Uint8Array();
      }
    },
  };
  return { model, codec };
}

const { port1, port2 } = new MessageChannel();

/**
 * Resolves after all waiting messages have been processed, by a message to itself; a timer would take 4 ms.
 */
function letMessagesIn(): Promise<void> {
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });
}

async function answer(model: RoutedModel, codec: Codec, request: GenerateRequest): Promise<void> {
  const { text } = request;
  const started = performance.now();
  let numGenerated = 0;
  let ending: Ending = 'stopped';
  if (text > stoppedUpTo)
    for await (const { tokens, ending: isOver } of generate(model, codec, request)) {
      tell({ kind: 'tokens', text, tokens });
      numGenerated += tokens.filter(({ kind }) => kind === 'generated').length;
      await letMessagesIn();
      ending = isOver ?? 'stopped';
      if (text <= stoppedUpTo) break;
    }
  tell({ kind: 'done', text, ending, tokensPerS: (1000 * numGenerated) / (performance.now() - started) });
}

function fail(error: unknown, text: number | null): void {
  tell({ kind: 'failed', text, message: error instanceof Error ? error.message : String(error) });
}

const opened = open();
opened.then(({ model }) => tell({ kind: 'ready', config: model.config })).catch((error) => fail(error, null));
let answered: Promise<void> = Promise.resolve();
addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === 'stop') stoppedUpTo = data.upTo;
  else
    answered = Promise.all([opened, answered])
      .then(([{ model, codec }]) => answer(model, codec, data.request))
      .catch((error) => fail(error, data.request.text));
});
