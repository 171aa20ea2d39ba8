import type { WirePrecision } from '../collectives/communicator.js';
import type { RunConfig } from './schema.js';

type Precisions = {
  readonly train: Pick<RunConfig['train'], 'precision'>;
  readonly cluster: Pick<RunConfig['cluster'], 'wirePrecision'>;
};

/** Returns the precision of what ranks exchange, which is equal on all ranks, whatever their processors can do. */
export function wirePrecisionOf({ train, cluster }: Precisions): WirePrecision {
  if (cluster.wirePrecision !== 'auto') return cluster.wirePrecision;
  return train.precision === 'bfloat16' ? 'bfloat16' : 'float32';
}

/** Returns the bytes of a token's row that ranks exchange. */
export function rowBytesOf(
  config: Precisions & { readonly model: Pick<RunConfig['model'], 'dModel'> },
): number {
  return config.model.dModel * wireBytesOf(config);
}

/** Returns the bytes of a number that ranks exchange: of a token's row, or of a gradient on its way to another node. */
export function wireBytesOf(config: Precisions): number {
  return wirePrecisionOf(config) === 'float32' ? 4 : 2;
}
