import path from 'node:path';
import { type Checkpoint, resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { openDataset } from 'locmoe/internal/data/dataset';
import { openInference } from 'locmoe/internal/inference/inference';
import { whyNoBfloat16 } from 'locmoe/internal/ops/kernels/choose-kernels';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { runTraining } from '../../packages/bench/src/training.js';
import type { PartPlace } from '../kit/parts.js';
import {
  asking,
  type Engine,
  type EngineResult,
  generating,
  inPage,
  onnxInNode,
  onnxInPython,
  ranks,
  torch,
} from './engines.js';
import { type Reference, referenceOf, type Taken, type TrainingText, windowsOf } from './taken.js';

/** If two scores differ by less than this, either choice is correct. */
const TIE = 1e-6;

/** How the choices of one engine compare with those of `locmoe eval` in float32, token by token and layer by layer. */
export interface EngineAgreement {
  readonly engine: string;
  readonly precision: 'float32' | 'bfloat16';
  /** Number of tokens times sparse layers that were compared; 0 if the engine is missing. */
  readonly compared: number;
  /** Number of those with different experts although the token's scores are not tied. */
  readonly different: number;
  /** Number of those with different experts where two scores differ by less than TIE. */
  readonly ties: number;
  /** Why the engine is not on this machine; null if it is. */
  readonly missing: string | null;
}

export interface RouterAgreement {
  readonly router: string;
  readonly tokens: number;
  readonly layers: number;
  readonly engines: readonly EngineAgreement[];
}

export interface AgreementOptions {
  readonly checkpoint: Checkpoint;
  /** Text on which the model was trained; tokens are routed in windows of it. */
  readonly dataset: TrainingText;
  readonly tokens: number;
  /** Folder for the exported models. */
  readonly workDir: string;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

type NamedEngine = readonly [name: string, precision: EngineAgreement['precision'], engine: Engine];

export const ENGINES: readonly NamedEngine[] = [
  ['trainer, two nodes', 'float32', ranks(2, 'float32')],
  ['generate, token by token', 'float32', generating],
  ['api over HTTP', 'float32', asking],
  ['ONNX Runtime, Node', 'float32', onnxInNode],
  ['ONNX Runtime, Python', 'float32', onnxInPython],
  ['PyTorch, HuggingFace export', 'float32', torch('float32')],
  ['page in Chromium', 'float32', inPage],
  ['eval', 'bfloat16', inBfloat16(ranks(1, 'bfloat16'))],
  ['trainer, two nodes', 'bfloat16', inBfloat16(ranks(2, 'bfloat16'))],
  ['PyTorch, HuggingFace export', 'bfloat16', torch('bfloat16')],
];

/**
 * Trains the recipe `tiny` with each router, without level 1 and preferences of token ids so that gates
 * decide alone, and compares the engines on each model.
 *
 * @param tokens number of tokens for each model; they are read in whole windows
 */
export async function measureRouters(
  {
    quick,
    workDir,
    dataDir,
    signal,
    log,
  }: Pick<PartPlace, 'quick' | 'workDir' | 'dataDir' | 'signal' | 'log'>,
  tokens: number,
): Promise<RouterAgreement[]> {
  const agreements: RouterAgreement[] = [];
  for (const router of ROUTER_NAMES) {
    const folder = path.join(workDir, router);
    const sets = [
      ...[
        `moe.router=${router}`,
        `train.steps=${quick ? 10 : 100}`,
        'moe.tokenPreference=0',
        'moe.expertGroups=1',
      ],
      ...(router === 'locmoe-plus' ? PLUS : ['moe.capacityFactor=1.25']),
      ...['cluster.nodes=1', 'train.validateEvery=1000'],
    ];
    log(`training tiny with ${router}`);
    const run = await runTraining({ config: 'tiny', sets, folder: path.join(folder, 'run'), dataDir });
    const checkpoint = resolveCheckpoint(run.directory, () => undefined);
    const dataset = openDataset(run.readRecord()!.datasetDir);
    try {
      agreements.push(await measureAgreement({ checkpoint, dataset, tokens, workDir: folder, signal, log }));
    } finally {
      dataset.close();
    }
  }
  return agreements;
}

/** Settings with which a token may choose several experts, and experts refuse some tokens. */
const PLUS = ['moe.maxExpertsPerToken=4', 'moe.temperature=1', 'moe.choiceWeights=softmax'];

/** Compares the choices of engines on the same tokens. */
export async function measureAgreement(
  options: AgreementOptions,
  tried: readonly NamedEngine[] = ENGINES,
): Promise<RouterAgreement> {
  const { checkpoint, dataset, tokens, workDir, signal, log } = options;
  const { config } = checkpoint.manifest;
  const windows = windowsOf(config, dataset, tokens);
  const inference = openInference(checkpoint);
  const reference = referenceOf(inference.model, windows);
  inference.model.dispose();
  const engines: EngineAgreement[] = [];
  for (const [i, [engine, precision, route]] of tried.entries()) {
    signal.throwIfAborted();
    const started = performance.now();
    const result = await route({ checkpoint, windows, signal, folder: path.join(workDir, `engine-${i}`) });
    const agreement = { engine, precision, ...compared(reference, result) };
    engines.push(agreement);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    log(`${config.moe.router}, ${engine}, ${precision}: ${inWords(agreement)} (${seconds} s)`);
  }
  const { router } = config.moe;
  return { router, tokens: windows.tokenIdsT.length, layers: config.model.numSparseLayers, engines };
}

/** bfloat16 needs a processor, or oneDNN, that this machine may not have. */
function inBfloat16(engine: Engine): Engine {
  return async (input) => {
    const missing = whyNoBfloat16();
    return missing === null ? engine(input) : { missing };
  };
}

function compared(
  { taken, gaps }: Reference,
  result: EngineResult,
): Omit<EngineAgreement, 'engine' | 'precision'> {
  if ('missing' in result) return { compared: 0, different: 0, ties: 0, missing: result.missing };
  const counts = { compared: 0, different: 0, ties: 0 };
  for (const [layer, own] of taken.entries())
    for (const [t, bits] of own.entries()) {
      counts.compared++;
      if ((result as Taken)[layer]![t] === bits) continue;
      if (gaps[layer]![t]! < TIE) counts.ties++;
      else counts.different++;
    }
  return { ...counts, missing: null };
}

function inWords({ compared, different, ties, missing }: EngineAgreement): string {
  if (missing !== null) return `not here (${missing})`;
  const share = (100 * (1 - (different + ties) / compared)).toFixed(4);
  return `${share} % of ${compared} equal; ${different} differ, and ${ties} at a tie`;
}
