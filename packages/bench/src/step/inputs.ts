import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type StoredTensor, writeSafetensors } from 'locmoe/internal/checkpoint/safetensors';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { createLoader } from 'locmoe/internal/data/loader';
import { LanguageModel } from 'locmoe/internal/model/language-model';

/** Inputs for a peer to run the same training; read by packages/bench/peers/step_torch/inputs.py. */
export interface PeerInputs {
  readonly configFile: string;
  /** All initial weights, by global name. */
  readonly weightsFile: string;
  /** `<rank>.tokens` and `<rank>.targets`, each [steps, sequences of the rank, positions]. */
  readonly batchesFile: string;
}

/** Writes initial weights and batches of a configuration; weights written by an earlier call are reused. */
export function writeInputs(folder: string, name: string, config: RunConfig, dataset: Dataset): PeerInputs {
  mkdirSync(folder, { recursive: true });
  const { model, moe, seed } = config;
  const shaped = createHash('sha256').update(JSON.stringify([model, moe.numExperts, seed]));
  const inputs = {
    configFile: path.join(folder, `${name}.config.json`),
    weightsFile: path.join(folder, `weights-${shaped.digest('hex').slice(0, 16)}.safetensors`),
    batchesFile: path.join(folder, `${name}.batches.safetensors`),
  };
  writeFileSync(inputs.configFile, JSON.stringify(config));
  if (!existsSync(inputs.weightsFile)) writeWeights(inputs.weightsFile, config);
  writeSafetensors(inputs.batchesFile, batchesOf(config, dataset));
  return inputs;
}

/** Writes initial weights. They depend on (seed, name) only, so those of a single-rank world are those of any. */
function writeWeights(file: string, config: RunConfig): void {
  const model = new LanguageModel(config, soloTransport());
  try {
    const { shared, expert } = model.parameters;
    const tensors = [shared, expert].flatMap(({ ranges, values }) =>
      ranges.map(({ name, shape, begin, end }) => ({ name, shape, data: values.subarray(begin, end) })),
    );
    writeSafetensors(file, tensors);
  } finally {
    model.dispose();
  }
}

function batchesOf(config: RunConfig, dataset: Dataset): StoredTensor[] {
  const { model, train, cluster, data, seed } = config;
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const { globalBatch, steps } = train;
  return Array.from({ length: worldSize }, (_, rank) => {
    const { seqLen } = model;
    const loader = createLoader({
      dataset,
      weights: data.weights,
      seed,
      globalBatch,
      seqLen,
      rank,
      worldSize,
      homeRanksOfDomain: null,
    });
    const batches = Array.from({ length: steps }, (__, step) => loader.batchForStep(step));
    const shape = [steps, globalBatch / worldSize, seqLen];
    return (['tokenIds', 'targets'] as const).map((field) => ({
      name: `${rank}.${field === 'tokenIds' ? 'tokens' : field}`,
      shape,
      data: Int32Array.from(batches.flatMap((batch) => [...batch[field]])),
    }));
  }).flat();
}
