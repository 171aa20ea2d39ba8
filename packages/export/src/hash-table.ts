import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { decodeNeeds } from 'locmoe/internal/routing/needs-file';

const TABLE = /^layers\.(\d+)\.router\.table$/;

/** A checkpoint in whose hash tables an id has -1 where `moe.needs` gives it no expert. */
export function withNeeds(checkpoint: Checkpoint): Checkpoint {
  const { router, needs } = checkpoint.manifest.config.moe;
  if (router !== 'hash' || needs === null) return checkpoint;
  return {
    ...checkpoint,
    read(name, shape) {
      const values = checkpoint.read(name, shape);
      const layer = TABLE.exec(name)?.[1];
      if (layer === undefined) return values;
      const needsV = decodeNeeds(needs, Number(layer));
      return values.map((rank, id) => (needsV[id] ? rank : -1));
    },
  };
}
