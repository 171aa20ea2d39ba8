import type { RunFolder } from '@locmoe/run-format';
import { readPlaces } from 'locmoe/internal/cli/routes/read-places';
import { type RunConfig, runSchema } from 'locmoe/internal/config/schema';
import { type CacheReport, reportCache } from 'locmoe/internal/evaluation/routes/cache';

/** The choices of so many last steps are looked up in a cache. */
const RECORDED_STEPS = 16;

/** Returns the override with which a run records the choices that `cachesOf` reads. */
export function recordingOf(config: RunConfig): string {
  return `train.recordRoutes={"every":1,"from":${firstStep(config)},"share":1}`;
}

/**
 * Returns what caches of experts would have served of the choices of a run's last steps, all sparse layers together.
 *
 * @throws TrainerError as `readPlaces`
 */
export async function cachesOf(run: RunFolder): Promise<CacheReport['recorded']> {
  const config = run.readConfig(runSchema)!;
  const rows = await readPlaces({ places: [run.directory], from: firstStep(config) });
  return reportCache(rows, config.moe.numExperts).at(-1)!.recorded;
}

function firstStep({ train }: RunConfig): number {
  return Math.max(1, train.steps - RECORDED_STEPS + 1);
}
