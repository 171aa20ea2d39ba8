import { pickForm } from '../collectives/pick-form.js';
import type { Transport } from '../collectives/transport.js';
import { rowBytesOf } from '../config/wire-precision.js';
import type { Logger } from '../logger.js';
import type { PanguSigma } from '../model/pangu-sigma.js';
import type { WorkerAssignment } from './messages.js';

export interface ExchangeFormOptions {
  readonly assignment: WorkerAssignment;
  readonly transport: Transport;
  readonly logger: Logger;
}

/** Times the forms of the all-to-all with the bytes per pair of ranks under balanced routing, and uses the faster. */
export function useFasterForm(
  model: PanguSigma,
  { assignment, transport, logger }: ExchangeFormOptions,
): void {
  const { config, topology } = assignment;
  const { worldSize, numNodes, rank } = topology;
  if (numNodes === 1) return;
  const { train, moe } = config;
  const tokens = (train.globalBatch * config.model.seqLen) / (worldSize * train.microBatches);
  const rows = Math.ceil((tokens * (moe.capacityFactor ?? 1)) / worldSize);
  const bytes = rows * rowBytesOf(config);
  const { form, ms } = pickForm(transport, bytes);
  model.communicator.form = form;
  if (rank !== 0) return;
  const [hierarchical, flat] = [ms.hierarchical, ms.flat].map((each) => each.toFixed(2));
  logger.info(
    { exchange: form, bytesPerPair: bytes, ms },
    `exchange between nodes: ${form}; ${bytes} bytes for each other rank took ${hierarchical} ms ` +
      `hierarchical, ${flat} ms flat`,
  );
}
