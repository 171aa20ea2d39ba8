import path from 'node:path';
import { runTraining } from '../../packages/bench/src/training.js';
import type { PartPlace } from '../kit/parts.js';
import { jsonOf } from './json-of.js';

const ROUTERS = ['hash', 'switch', 'expert-choice', 'locmoe', 'locmoe-plus', 'moge', 'deepseek'];
/** Settings of each exchange: flat, and in two hops, with all rows or without duplicates. */
const EXCHANGES = {
  flat: ['cluster.exchange=flat'],
  hierarchical: ['cluster.exchange=hierarchical'],
  deduplicated: ['cluster.deduplicate=true'],
};

/** Bytes of rows of the recorded steps, over all links, layers and directions. */
export interface Traffic {
  readonly router: string;
  readonly exchange: string;
  readonly measured: number;
  readonly fromRoutes: number;
  /** Sum over links, layers, directions and steps of the absolute difference between the two. */
  readonly difference: number;
}

interface Printed {
  readonly recorded: {
    readonly layers: readonly {
      readonly bytes: readonly (readonly number[])[];
      readonly fromRoutes: readonly (readonly number[])[];
      readonly difference: number;
    }[];
  };
}

/**
 * Trains `tiny` for some steps on 2x2 and compares the bytes sent with those that the recorded routes imply.
 */
export async function measureTraffic({ quick, workDir, dataDir, signal }: PartPlace): Promise<Traffic[]> {
  const traffic: Traffic[] = [];
  for (const router of quick ? ['switch'] : ROUTERS)
    for (const [exchange, sets] of Object.entries(EXCHANGES)) {
      const folder = path.join(workDir, `${router}-${exchange}`);
      const recording = ['train.steps=6', 'train.recordRoutes={"every":2,"share":1}'];
      const config = [`moe.router=${router}`, 'data.placement=mixed', 'train.precision=float32'];
      const run = await runTraining({
        config: 'tiny',
        sets: [...config, ...sets, ...recording],
        folder,
        dataDir,
      });
      const { recorded } = await jsonOf<Printed>(
        ['routes', 'traffic', run.runId, '--runs-dir', folder, '--json'],
        signal,
      );
      const total = (links: readonly (readonly number[])[]) =>
        links.flat().reduce((sum, each) => sum + each, 0);
      const { layers } = recorded;
      traffic.push({
        router,
        exchange,
        measured: layers.reduce((sum, { bytes }) => sum + total(bytes), 0),
        fromRoutes: layers.reduce((sum, { fromRoutes }) => sum + total(fromRoutes), 0),
        difference: layers.reduce((sum, { difference }) => sum + difference, 0),
      });
    }
  return traffic;
}
