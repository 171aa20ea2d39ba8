import path from 'node:path';
import { type FileDigest, MANIFEST_FILE, TOKENIZER_FILE } from '@locmoe/run-format';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { writeManifest } from 'locmoe/internal/checkpoint/manifest';
import { writeSafetensors } from 'locmoe/internal/checkpoint/safetensors';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { formatCount } from 'locmoe/internal/format';
import { parameterCounts } from 'locmoe/internal/model/parameter-counts';
import { type ExpertRange, heldExperts } from 'locmoe/internal/routing/groups/domain-groups';
import { shapesOf } from './checkpoint-shapes.js';
import type { OutputFolder } from './output-folder.js';

/**
 * Writes the sub-model of a domain (PanGu-Sigma, arXiv 2303.10845) as a checkpoint: the shared parameters,
 * the routers and the experts of the domain's group. Routers are kept whole, so that they decide bit by bit
 * as in the whole model. Optimizer moments are left out.
 *
 * @throws TrainerError `BAD_INPUT` if the model has no such part, or as `OutputFolder.write`
 */
export async function writeSubModel(
  checkpoint: Checkpoint,
  output: OutputFolder,
  domain: string,
): Promise<void> {
  const { manifest } = checkpoint;
  const config = configOf(manifest.config, domain);
  const held = heldExperts(config.moe);
  const shapes = shapesOf(checkpoint);
  const kept = Object.entries(manifest.tensors).filter(([name]) => isKept(name, held));
  const tensors = Object.fromEntries(kept);
  const files: Record<string, FileDigest> = { [TOKENIZER_FILE]: manifest.files[TOKENIZER_FILE]! };
  // Each tensor stays in its file, so that only one file's tensors are in memory at a time.
  for (const file of new Set(Object.values(tensors)))
    await output.writeWith(file, (place) => {
      const names = Object.keys(tensors).filter((name) => tensors[name] === file);
      const stored = names.map((name) => {
        const data = checkpoint.read(name);
        return name.endsWith('.router.votes')
          ? { name, ...votesOf(data, manifest.config, domain) }
          : { name, shape: shapes.get(name)!, data };
      });
      files[file] = writeSafetensors(place, stored);
    });
  await output.copy(checkpoint.tokenizerFile, TOKENIZER_FILE);
  await output.writeWith(MANIFEST_FILE, (place) =>
    writeManifest(path.dirname(place), { ...manifest, config, metrics: {}, files, tensors }),
  );
}

/** Returns a line that states the size of the sub-model relative to the model. */
export function sizeOfSubModel(whole: RunConfig, domain: string): string {
  const config = configOf(whole, domain);
  const [part, all] = [parameterCounts(config).model, parameterCounts(whole).model];
  return (
    `domain ${domain}: ${heldExperts(config.moe).count} of ${whole.moe.numExperts} experts in each sparse layer, ` +
    `${formatCount(part)} of ${formatCount(all)} parameters (${((100 * part) / all).toFixed(0)} %)`
  );
}

/** Returns the configuration of the sub-model, in which the domain is the only one. */
function configOf(config: RunConfig, domain: string): RunConfig {
  const { model, moe, data } = config;
  const known = data.domains.join(', ');
  const refused = (why: string) => new TrainerError('BAD_INPUT', `--sub-model --domain ${domain}: ${why}`);
  if (!data.domains.includes(domain)) throw refused(`the model knows ${known}`);
  if (model.numSparseLayers === 0) throw refused('the model is dense; all of it is used by every domain');
  if (moe.subModel !== null) throw refused(`the model is the sub-model of ${moe.subModel.domain} already`);
  if (moe.expertGroups === 1)
    throw refused('every domain uses all experts of this model (moe.expertGroups is 1)');
  const { weights: _, ...rest } = data;
  const source = data.sources[domain];
  return {
    ...config,
    moe: { ...moe, subModel: { domain, domains: data.domains }, placement: null },
    data: { ...rest, domains: [domain], sources: source === undefined ? {} : { [domain]: source } },
  };
}

function isKept(name: string, { first, count }: ExpertRange): boolean {
  if (name.startsWith('adam.')) return false;
  const expert = /\.experts\.(\d+)\./.exec(name)?.[1];
  return expert === undefined || (Number(expert) >= first && Number(expert) < first + count);
}

/** Returns the votes of the ids of a domain (vote-table.ts). */
function votesOf(votes: Float32Array, { data }: RunConfig, domain: string) {
  const length = votes.length / data.domains.length;
  const first = data.domains.indexOf(domain) * length;
  return { shape: [length], data: votes.subarray(first, first + length) };
}
