import { rankProgram } from '@locmoe/test-kit';
import { openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { LanguageModel } from 'locmoe/internal/model/language-model';
import { usePrecision } from 'locmoe/internal/ops/kernels/choose-kernels';
import { loadModel } from 'locmoe/internal/worker/state';
import { nothingTaken, partOf, routeWindows, takeKept, type Windows } from './taken.js';

export interface RanksRequest {
  readonly checkpoint: string;
  readonly precision: 'float32' | 'bfloat16';
  /** Windows, of which each rank takes an equal number. */
  readonly windows: Windows;
}

// Routes a rank's share of the windows through its share of the experts, as a validation during training
// does.
rankProgram((transport, { checkpoint: folder, precision, windows }: RanksRequest): Int32Array[] => {
  usePrecision(precision);
  const checkpoint = openCheckpoint(folder);
  const saved = checkpoint.manifest.config;
  const config = { ...saved, train: { ...saved.train, precision } };
  const model = new LanguageModel(config, transport);
  loadModel(model, checkpoint);
  const { rank, worldSize } = transport.topology;
  const share = windows.domains.length / worldSize;
  const own = partOf(windows, rank * share, (rank + 1) * share);
  const taken = nothingTaken(config, own.tokenIdsT.length);
  routeWindows(model, own, (layer, first, decision) => takeKept(taken[layer]!, first, decision));
  return taken;
});
