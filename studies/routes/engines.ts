import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawnRanks } from '@locmoe/test-kit';
import { serveApi } from 'locmoe/internal/api/serve-api';
import type { TokenRoutes } from 'locmoe/internal/api/token-routes';
import { TrainerError } from 'locmoe/internal/errors';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import type { RoutedToken } from 'locmoe/internal/inference/routed-tokens';
import * as ort from 'onnxruntime-node';
import { huggingface } from '../../packages/export/src/huggingface/huggingface.js';
import { onnx } from '../../packages/export/src/onnx/onnx.js';
import { writeFolder } from '../../packages/export/src/output-folder.js';
import type { WeightType } from '../../packages/export/src/target.js';
import type { ModelConfig } from '../../packages/export/src/web/browser/messages.js';
import type { RoutedModel } from '../../packages/export/src/web/browser/routed-model.js';
import { web } from '../../packages/export/src/web/web.js';
import { serveFolder } from '../../packages/export/test/serve-folder.js';
import { wholeSequences } from '../../packages/export/test/whole-sequences.js';
import { TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { pythonWith } from '../../scripts/python-oracles.mjs';
import type { RanksRequest } from './ranks.program.js';
import { type EngineInput, inParts, nothingTaken, type Taken, takeWeighted, type Windows } from './taken.js';

/** The result of an engine, or the reason why it is not on this machine. */
export type EngineResult = Taken | { readonly missing: string };
export type Engine = (input: EngineInput) => Promise<EngineResult>;

const RANKS_PROGRAM = new URL('./ranks.program.ts', import.meta.url);
/** Number of sequences that are generated together. */
const GROWING = 64;
/** Number of windows in a request. */
const ASKED = 32;
const PYTHON_TIMEOUT_MS = 1_800_000;

/** Engine: a validation of the trainer on two nodes, or on one rank. */
export function ranks(numNodes: number, precision: RanksRequest['precision']): Engine {
  return async ({ checkpoint, windows, signal }) => {
    const args: RanksRequest = { checkpoint: checkpoint.folder, precision, windows };
    const options = { args, signal, abortOnFailure: true, deadlineMs: PYTHON_TIMEOUT_MS };
    const outcome = await spawnRanks<Int32Array[]>({ numNodes, workersPerNode: 1 }, RANKS_PROGRAM, options);
    const parts = outcome.ranks.map(({ result, error }) => {
      if (result === undefined || result === null)
        throw new TrainerError('INTERNAL', error?.message ?? 'a rank failed');
      return result;
    });
    return parts[0]!.map((_, layer) => Int32Array.from(parts.flatMap((part) => [...part[layer]!])));
  };
}

/**
 * Engine: `locmoe generate`. The first token is a prompt, the others follow one by one, with a cache of keys
 * and values.
 */
export const generating: Engine = async ({ checkpoint, windows }) =>
  withInference(checkpoint, async (inference) => {
    const taken = nothingTaken(inference.config, windows.tokenIdsT.length);
    const { seqLen } = windows;
    for (const [{ tokenIdsT, domains }, first] of inParts(windows, GROWING)) {
      const at = Array.from(domains, (_, row) => first + row * seqLen);
      const begun = inference.decoder.begin(
        Array.from(domains, (domain, row) => ({
          tokenIds: [tokenIdsT[row * seqLen]!],
          domain,
          maxTokens: seqLen - 1,
          onRoutes: (tokens: readonly RoutedToken[]) => {
            for (const { layers } of tokens) {
              for (const [i, { choices }] of layers.entries())
                for (const { expert, outcome } of choices)
                  if (outcome === 'kept') taken[i]![at[row]!]! |= 1 << expert;
              at[row]!++;
            }
          },
        })),
      );
      const sequences = begun.map(({ sequence }) => sequence);
      for (let s = 1; s < seqLen; s++)
        inference.decoder.extend(
          sequences,
          sequences.map((_, row) => tokenIdsT[row * seqLen + s]!),
        );
    }
    return taken;
  });

/** Engine: `locmoe api` over HTTP. */
export const asking: Engine = async ({ checkpoint, windows }) =>
  withInference(checkpoint, async (inference) => {
    const { config } = inference;
    const options = {
      host: '127.0.0.1',
      port: 0,
      token: null,
      page: null,
      maxBatch: 16,
      maxWaiting: 2 * ASKED,
      requestTimeout: 600,
    };
    const server = await serveApi(inference, options);
    const taken = nothingTaken(config, windows.tokenIdsT.length);
    try {
      for (const [part, first] of inParts(windows, ASKED))
        for (const [domain, name] of config.data.domains.entries()) {
          const rows = [...part.domains.keys()].filter((row) => part.domains[row] === domain);
          if (rows.length === 0) continue;
          const prompt = rows.map((row) => [...rowOf(part, row)]);
          const model = `${checkpoint.manifest.runId}:${name}`;
          const response = await fetch(`http://127.0.0.1:${server.address.port}/v1/completions`, {
            method: 'POST',
            body: JSON.stringify({ model, prompt, max_tokens: 1, routes: true }),
          });
          if (!response.ok) throw new TrainerError('INTERNAL', `api: ${await response.text()}`);
          const { choices } = (await response.json()) as { choices: { routes: TokenRoutes[] }[] };
          for (const [i, { routes }] of choices.entries())
            for (const [s, { layers }] of routes.entries())
              for (const [layer, { choices }] of layers.entries())
                for (const { expert, outcome } of choices)
                  if (outcome === 'kept')
                    taken[layer]![first + rows[i]! * windows.seqLen + s]! |= 1 << expert;
        }
    } finally {
      await server.close(0);
    }
    return taken;
  });

export const onnxInNode: Engine = async ({ checkpoint, windows, folder }) => {
  const { config } = checkpoint.manifest;
  await writeFolder(folder, (output) => onnx.write(checkpoint, output, 'float32'));
  const session = await ort.InferenceSession.create(path.join(folder, 'onnx/model.onnx'));
  const taken = nothingTaken(config, windows.tokenIdsT.length);
  const names = taken.map((_, i) => `layers.${config.model.numDenseLayers + i}.weights`);
  for (const [{ tokenIdsT, domains }, first] of inParts(windows)) {
    const outputs = await session.run(wholeSequences(session, tokenIdsT, domains), names);
    for (const [layer, name] of names.entries())
      takeWeighted(taken[layer]!, first, outputs[name]!.data as Float32Array, config.moe.numExperts);
  }
  await session.release();
  return taken;
};

export const onnxInPython: Engine = (input) =>
  inPython('route_onnx.py', ['onnxruntime', 'numpy'], input, (folder) =>
    writeFolder(folder, (output) => onnx.write(input.checkpoint, output, 'float32')),
  );

/** Engine: the code of the HuggingFace export. */
export function torch(dtype: WeightType): Engine {
  return (input) =>
    inPython('route_torch.py', ['torch', 'safetensors', 'numpy'], input, (folder) =>
      writeFolder(folder, (output) => huggingface.write(input.checkpoint, output, dtype)),
    );
}

/**
 * Engine: the exported page's own in Chromium. Half of a window is the prompt, and the others follow one by
 * one.
 */
export const inPage: Engine = async ({ checkpoint, windows, folder }) => {
  const missing = whyNoBrowser();
  if (missing !== null) return { missing };
  await writeFolder(folder, (output) => web.write(checkpoint, output, 'float32'));
  const server = await serveFolder(folder);
  const browser = await TestBrowser.open();
  try {
    const page = await browser.page(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    // Passed as text, which no bundler rewrites.
    await page.evaluate(`import('./routed-model.js').then((module) => Object.assign(globalThis, module))`);
    const taken = nothingTaken(checkpoint.manifest.config, windows.tokenIdsT.length);
    for (const [{ tokenIdsT, domains, seqLen }, first] of inParts(windows)) {
      const part = { ids: [...tokenIdsT], domains: [...domains], seqLen, base: page.url() };
      const ofLayers = await page.evaluate(runInPage, part);
      for (const [layer, bits] of ofLayers.entries()) taken[layer]!.set(bits, first);
    }
    return taken;
  } finally {
    await browser.close();
    server.close();
  }
};

interface PagePart {
  readonly ids: readonly number[];
  readonly domains: readonly number[];
  readonly seqLen: number;
  /** Address of the page. */
  readonly base: string;
}

/** Runs in the page, so it must not refer to anything outside. */
async function runInPage({ ids, domains, seqLen, base }: PagePart) {
  const held = globalThis as unknown as { RoutedModel: typeof RoutedModel; routed?: Promise<RoutedModel> };
  held.routed ??= (async () => {
    const names = ['vendor/onnxruntime.wasm', 'model/model.onnx', 'model/config.json'];
    const [wasm, graph, config] = await Promise.all(names.map((name) => fetch(new URL(name, base))));
    const settings = (await config!.json()) as ModelConfig;
    return held.RoutedModel.open(await wasm!.arrayBuffer(), await graph!.arrayBuffer(), settings);
  })();
  const model = await held.routed;
  const taken: number[][] = model.config.sparseLayers.map(() => []);
  for (const [row, domain] of domains.entries()) {
    const window = ids.slice(row * seqLen, (row + 1) * seqLen);
    const half = Math.ceil(seqLen / 2);
    let cache = model.emptyCache;
    for (const tokens of [window.slice(0, half), ...window.slice(half).map((id) => [id])]) {
      const pass = await model.run(tokens, domain, cache);
      cache = pass.cache;
      for (const index of tokens.keys())
        for (const [layer, { weights }] of pass.routing(index).entries())
          taken[layer]!.push(
            weights.reduce((bits, weight, expert) => bits | (weight === 0 ? 0 : 1 << expert), 0),
          );
    }
  }
  return taken;
}

/**
 * @param program file beside this one, which reads `ids` and `domains` in the exported folder, and writes
 *   `taken`
 */
async function inPython(
  program: string,
  modules: readonly string[],
  { checkpoint, windows, folder }: EngineInput,
  write: (folder: string) => Promise<unknown>,
): Promise<EngineResult> {
  const python = pythonWith(modules);
  if (python === null) return { missing: `no Python with ${modules.join(', ')}` };
  await write(folder);
  writeFileSync(path.join(folder, 'ids'), Buffer.from(windows.tokenIdsT.buffer));
  writeFileSync(path.join(folder, 'domains'), Buffer.from(windows.domains.buffer));
  const file = fileURLToPath(new URL(program, import.meta.url));
  const { status, stderr } = spawnSync(python, [file, folder, String(windows.seqLen)], {
    encoding: 'utf8',
    timeout: PYTHON_TIMEOUT_MS,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });
  if (status !== 0) throw new TrainerError('INTERNAL', `${program}: ${stderr.trim().split('\n').at(-1)}`);
  const { buffer, byteOffset, byteLength } = readFileSync(path.join(folder, 'taken'));
  const all = new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const numTokens = windows.tokenIdsT.length;
  return Array.from({ length: checkpoint.manifest.config.model.numSparseLayers }, (_, layer) =>
    all.subarray(layer * numTokens, (layer + 1) * numTokens),
  );
}

async function withInference<T>(
  checkpoint: EngineInput['checkpoint'],
  work: (inference: Inference) => Promise<T>,
): Promise<T> {
  const inference = openInference(checkpoint);
  try {
    return await work(inference);
  } finally {
    inference.model.dispose();
  }
}

function rowOf({ tokenIdsT, seqLen }: Windows, row: number): Int32Array {
  return tokenIdsT.subarray(row * seqLen, (row + 1) * seqLen);
}
