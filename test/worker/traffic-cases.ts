import { emptyRouteTable, type RouteTable } from '@locmoe/run-format/routes-file';
import type { SentRows } from '@locmoe/run-format/row-traffic';
import type { Transport } from '../../src/collectives/transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { rowBytesOf } from '../../src/config/wire-precision.js';
import { addRoutes } from '../../src/routing/choices/route-rows.js';
import { expertsOfDomain } from '../../src/routing/index.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf } from './step-batches.js';

const NUM_SEQUENCES = 16;

export interface TrafficCase {
  readonly moe: Partial<RunConfig['moe']>;
  readonly cluster: Partial<RunConfig['cluster']>;
  readonly precision?: RunConfig['train']['precision'];
  readonly microBatches?: number;
}

export interface RankTraffic {
  readonly table: RouteTable;
  readonly sent: SentRows['sent'];
  readonly rowBytesTo: readonly number[];
  readonly allBytes: number;
}

/** Trains a step as one rank; returns its routes and what it sent. */
export function trafficOf(
  transport: Transport,
  { moe, cluster, precision = 'float32', microBatches = 1 }: TrafficCase,
): RankTraffic {
  const { topology } = transport;
  const { rank, worldSize } = topology;
  const config = tinyConfig({
    model: { numSparseLayers: 2 },
    moe,
    cluster,
    train: { globalBatch: NUM_SEQUENCES, microBatches, precision },
  });
  const state = createTrainState(config, transport, null);
  const parts = batchesOf(1, worldSize * microBatches, NUM_SEQUENCES);
  const batches = parts.filter((_, part) => part % worldSize === rank);
  const table: RouteTable = emptyRouteTable();
  const inspectorOf = (microBatch: number) => {
    const { numSequences, seqLen, domains, tokenIds } = batches[microBatch];
    const sequences = Array.from({ length: numSequences }, (_, row) => ({
      row,
      sequence: (microBatch * worldSize + rank) * numSequences + row,
      domain: config.data.domains[domains[row]],
      openExperts: expertsOfDomain(2, config.moe)[domains[row]],
      length: seqLen,
      documents: new Int32Array(seqLen),
    }));
    const rowBytes = rowBytesOf(config);
    const routed = {
      step: 1,
      topology,
      moe: config.moe,
      sequences,
      seqLen,
      tokenIdsT: tokenIds,
      positionsT: undefined,
      rowBytes,
    };
    return (layer: number, _: unknown, decision: Parameters<typeof addRoutes>[2]) =>
      addRoutes(table, { ...routed, layer }, decision);
  };
  const { sent, report } = trainStep(state, { step: 1, batches, inspectorOf });
  state.model.dispose();
  const { bytesSameNode, bytesOtherNode, rowBytesTo } = report;
  return { table, sent, rowBytesTo, allBytes: bytesSameNode + bytesOtherNode };
}
