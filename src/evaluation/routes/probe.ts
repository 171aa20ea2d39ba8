import { readRouteColumns } from '@locmoe/run-format/routes-file';
import { groupBy } from '../../group-by.js';
import type { ProbeData, ProbeText } from './probe-data.js';

interface ProbeOptions extends Pick<ProbeData, 'name' | 'numExperts' | 'expertsOfDomain'> {
  /** Files of train.probeRoutes, of all steps and ranks. */
  readonly files: readonly string[];
  /** Returns the text of each token; null without a tokenizer. */
  readonly textsOf: (ids: readonly number[]) => readonly string[] | null;
}

const COLUMNS = [
  'step',
  'layer',
  'sequence',
  'domain',
  'document',
  'position',
  'token',
  'expert',
  'outcome',
] as const;

/** A token of the probe, with its experts by step and layer. */
interface ProbeToken {
  readonly domain: string;
  readonly sequence: number;
  readonly document: number;
  readonly position: number;
  readonly id: number;
  readonly experts: Map<string, number[]>;
}

/**
 * Reads the files of a probe. A step of which a sequence is missing is left out: a live run may not have written
 * it yet, or a file may be damaged.
 */
export async function readProbe({ files, textsOf, ...about }: ProbeOptions): Promise<ProbeData> {
  const tokens = new Map<string, ProbeToken>();
  const sequencesOf = new Map<number, Set<number>>();
  const layers = new Set<number>();
  for (const file of files) {
    const rows = await readRouteColumns(file, COLUMNS).catch(() => null);
    rows?.step.forEach((step, row) => {
      const [sequence, document, position] = [rows.sequence[row]!, rows.document[row]!, rows.position[row]!];
      const [domain, id, layer] = [rows.domain[row]!, rows.token[row]!, rows.layer[row]!];
      const key = `${sequence} ${document} ${position}`;
      const token = tokens.get(key) ?? { domain, sequence, document, position, id, experts: new Map() };
      tokens.set(key, token);
      layers.add(layer);
      sequencesOf.set(step, (sequencesOf.get(step) ?? new Set()).add(sequence));
      if (rows.outcome[row] !== 'kept') return;
      const own = token.experts.get(`${step} ${layer}`) ?? [];
      token.experts.set(`${step} ${layer}`, own);
      own.push(rows.expert[row]!);
    });
  }
  const rising = (a: number, b: number) => a - b;
  const inOrder = [...tokens.values()].sort(
    (a, b) => a.sequence - b.sequence || a.document - b.document || a.position - b.position,
  );
  const texts = [...groupBy(inOrder, ({ sequence }) => sequence).values()].map((own): ProbeText => {
    const ids = own.map(({ id }) => id);
    return { domain: own[0].domain, ids, text: textsOf(ids) };
  });
  const steps = [...sequencesOf.keys()]
    .filter((step) => sequencesOf.get(step)!.size === texts.length)
    .sort(rising);
  const sparse = [...layers].sort(rising);
  return {
    ...about,
    layers: sparse,
    steps,
    texts,
    experts: steps.map((step) =>
      sparse.map((layer) => inOrder.map(({ experts }) => experts.get(`${step} ${layer}`) ?? '').join(' ')),
    ),
  };
}
