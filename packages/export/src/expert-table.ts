import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { expertsOfDomain } from 'locmoe/internal/routing/index';
import { electedExperts } from 'locmoe/internal/routing/routers/vote-table';

// Shapes: V vocabulary, D domains, E experts.

const TABLE = /^layers\.(\d+)\.router\.table(\d*)$/;

/**
 * Converts a checkpoint whose router decides by a table to the form that the formats expect: its router is
 * `hash`, and each sparse layer has `router.table`, and `table2`, .. of several, [D, V], with the expert of each
 * id of a domain, -1 for none. Other checkpoints are returned unchanged.
 */
export function withExpertTables(checkpoint: Checkpoint): Checkpoint {
  const { manifest } = checkpoint;
  const { config, tensors } = manifest;
  const { moe, model, data } = config;
  const layers = Object.keys(tensors).flatMap((name) => /^layers\.(\d+)\.router\./.exec(name)?.[1] ?? []);
  const isVoted =
    moe.tableAfter > 0 &&
    layers.length > 0 &&
    checkpoint.read(`layers.${layers[0]}.router.votes_step`)[0]! >= moe.tableAfter;
  if (moe.router !== 'hash' && !isVoted) return checkpoint;

  const groups = expertsOfDomain(data.domains.length, moe);
  const fromBottom = [...new Set(layers)].sort((a, b) => Number(a) - Number(b));
  const voted = (layer: string): Int32Array =>
    electedExperts(checkpoint.read(`layers.${layer}.router.votes`), {
      vocabSize: model.vocabSize,
      expertsOfDomain: groups,
      moe,
      tablesBelow: fromBottom.slice(0, fromBottom.indexOf(layer)).map(voted),
    });
  const dealt = (name: string, index: number) => {
    const ranks = [...checkpoint.read(name)];
    return groups.flatMap((group) => {
      const size = group.length / moe.expertsPerToken;
      return ranks.map((rank) => (rank < 0 ? -1 : group[index * size + (rank % size)]!));
    });
  };
  // Each table is assigned to the file of the tensor from which it is made.
  const tables = fromBottom.map((layer) => {
    const [table, votes] = ['table', 'votes'].map((name) => `layers.${layer}.router.${name}`);
    return [table!, tensors[moe.router === 'hash' ? table! : votes!]!] as const;
  });
  return {
    ...checkpoint,
    manifest: {
      ...manifest,
      config: {
        ...config,
        moe: { ...moe, router: 'hash', ...(isVoted && { expertsPerToken: 1, lookBack: 0 }) },
      },
      tensors: { ...tensors, ...Object.fromEntries(tables) },
    },
    read(name, shape) {
      const [, layer, number] = TABLE.exec(name) ?? [];
      if (layer === undefined) return checkpoint.read(name, shape);
      return Float32Array.from(moe.router === 'hash' ? dealt(name, Number(number || 1) - 1) : voted(layer));
    },
  };
}
