import { writeFileSync } from 'node:fs';
import { inspectRoutes, type RouteRow, rowsOf } from '@locmoe/run-format/routes-file';
import { resolveCheckpoint } from '../../checkpoint/checkpoint.js';
import { loadTokenizer } from '../../data/tokenizer/tokenizer.js';
import { TrainerError } from '../../errors.js';
import { reportCache } from '../../evaluation/routes/cache.js';
import { drawRoutes } from '../../evaluation/routes/picture.js';
import { reportRoutes } from '../../evaluation/routes/report.js';
import { domainId, loadInference } from '../../local/load-inference.js';
import { assertNewFile } from '../new-file.js';
import { openCheckpoint } from '../open-checkpoint.js';
import { type RoutePlaces, readPlaces, routeFiles } from './read-places.js';
import { recordText } from './record-text.js';
import { cacheLines, layerLines, type TokenText } from './report-lines.js';

export interface ReportOptions extends RoutePlaces {
  readonly checkpoint?: string;
  readonly text?: readonly string[];
  readonly domain?: string;
  readonly maxTokens: number;
  readonly cache?: true;
  readonly json?: true;
  readonly svg?: string;
}

/** Prints what decides the choices of recorded routes, or of text that a checkpoint routes now. */
export async function reportOnRoutes({ cache, json, svg, ...options }: ReportOptions): Promise<void> {
  if (svg !== undefined) assertNewFile('--svg', svg);
  const { rows, numExperts } = await routesIn(options);
  if (cache) {
    const reports = reportCache(rows, numExperts);
    console.log(json ? JSON.stringify(reports) : cacheLines(reports).join('\n'));
    return;
  }
  const layers = reportRoutes(rows);
  if (svg !== undefined) writeFileSync(svg, drawRoutes(layers), { flag: 'wx' });
  if (json) console.log(JSON.stringify(layers));
  else
    for (const layer of layers) for (const line of layerLines(layer, tokenTextOf(options))) console.log(line);
}

/**
 * @returns the rows, and the number of experts in a sparse layer; null if the first file does not contain it
 * @throws TrainerError `BAD_CONFIG` if there are neither places nor a checkpoint and a text, or both
 */
async function routesIn({ checkpoint, text, ...options }: ReportOptions) {
  if (
    options.places.length > 0 === (checkpoint !== undefined) ||
    (checkpoint === undefined) !== (text === undefined)
  )
    throw new TrainerError('BAD_CONFIG', 'give recorded routes, or --checkpoint and --text');
  if (checkpoint === undefined || text === undefined) {
    const rows = await readPlaces(options);
    return { rows, numExperts: (await inspectRoutes(routeFiles(options.places)[0]!)).numExperts };
  }
  const opened = openCheckpoint(checkpoint);
  const domain = domainId(opened.manifest.config, options.domain);
  const inference = await loadInference(opened);
  const rows: RouteRow[] = [];
  const { maxTokens } = options;
  for await (const table of recordText(inference, { patterns: text, domain, maxTokens }))
    rows.push(...rowsOf(table));
  return { rows, numExperts: opened.manifest.config.moe.numExperts };
}

/** Returns texts of tokens by the tokenizer of the checkpoint or of a run among the places, otherwise token ids. */
function tokenTextOf({ checkpoint, places }: ReportOptions): TokenText {
  for (const place of checkpoint === undefined ? places : [checkpoint])
    try {
      const { tokenizerFile, manifest } = resolveCheckpoint(place, () => undefined);
      const tokenizer = loadTokenizer(tokenizerFile, manifest.config.data.endOfText);
      return (id) => JSON.stringify(tokenizer.decode([id]));
    } catch {}
  return String;
}
