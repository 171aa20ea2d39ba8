import {
  answerCloze,
  type ClozeAnswer,
  clozeItems,
  continuationTokens,
  NUM_CHOICES,
} from '../../evaluation/cloze.js';
import { checkPlace, sampleLine, writeSamples } from '../../evaluation/samples.js';
import { scoreOf } from '../../evaluation/statistics.js';
import { formatTable } from '../../format.js';
import type { Scorer } from '../../inference/log-likelihood.js';
import { openText } from '../../local/checkpoint-text.js';
import { openCheckpoint } from '../open-checkpoint.js';
import { preparationViewOn } from '../preparation-view.js';
import { formatPercent, scoreCells } from './format-score.js';
import { ScorerPool } from './scorer-pool.js';
import { untilAnswered } from './until-answered.js';

export interface ClozeOptions {
  readonly checkpoint: string;
  readonly sequences: number;
  readonly seed: number;
  readonly samples?: string;
  readonly dataDir: string;
  readonly json: boolean;
}

/** Measures how often the true continuation of held-out text is the likeliest of four. */
export async function evaluateCloze(options: ClozeOptions): Promise<void> {
  if (options.samples !== undefined) checkPlace(options.samples);
  const scorer = await ScorerPool.open(openCheckpoint(options.checkpoint));
  const { config, checkpoint, tokenizer } = scorer;
  const { seqLen } = config.model;
  const dataset = await openText(scorer, options.dataDir, preparationViewOn(process.stderr));
  const items = clozeItems(dataset, {
    seqLen,
    endOfText: tokenizer.endOfText,
    count: options.sequences,
    seed: options.seed,
  });
  dataset.close();
  const answers = await untilAnswered(scorer, items.length, async (watch) => {
    const found = await answerCloze(scorer, items, watch);
    if (options.samples !== undefined)
      writeSamples(
        options.samples,
        found.map((answer, i) => lineOf(scorer, answer, i)),
      );
    return found;
  });
  const byDomain = config.data.domains
    .map((domain, id) => ({
      domain,
      answers: answers.filter((answer) => answer.domain === id),
    }))
    .filter((each) => each.answers.length > 0);
  const scoresOf = (groups: readonly (readonly ClozeAnswer[])[]) => ({
    acc: scoreOf(groups.map((group) => group.map(({ metrics }) => metrics.acc))),
    acc_mutual_info: scoreOf(groups.map((group) => group.map(({ metrics }) => metrics.acc_mutual_info))),
  });
  const domains = byDomain.map((each) => ({ domain: each.domain, ...scoresOf([each.answers]) }));
  const all = scoresOf(byDomain.map((each) => each.answers));
  const { folder, manifest } = checkpoint;
  const shape = {
    choices: NUM_CHOICES,
    chance: 1 / NUM_CHOICES,
    seed: options.seed,
    continuationTokens: continuationTokens(seqLen),
  };
  if (options.json) {
    console.log(
      JSON.stringify({ checkpoint: folder, step: manifest.step, cloze: { ...shape, all, domains } }),
    );
    return;
  }
  console.log(`${folder}, step ${manifest.step}`);
  console.log(
    `cloze of ${NUM_CHOICES} continuations of ${shape.continuationTokens} tokens (locmoe's own measure, of no benchmark), seed ${options.seed}: chance ${formatPercent(shape.chance)}`,
  );
  const cells = ({ acc, acc_mutual_info }: typeof all) => [
    ...scoreCells(acc).slice(0, 2),
    ...scoreCells(acc_mutual_info),
  ];
  console.log(
    formatTable([
      ['domain', 'sum', 'std. error', 'mutual information', 'std. error', 'questions'],
      ...domains.map((scores) => [scores.domain, ...cells(scores)]),
      ['all', ...cells(all)],
    ]),
  );
}

function lineOf({ tokenizer, config }: Scorer, answer: ClozeAnswer, docId: number): string {
  const { contextIds, continuations, begin, logLikelihoods, unconditional, metrics } = answer;
  const context = tokenizer.decode(contextIds, true);
  const texts = continuations.map((ids) => tokenizer.decode(ids, true));
  const domain = config.data.domains[answer.domain];
  return sampleLine({
    docId,
    doc: { domain, begin, context, choices: texts },
    answer: answer.answer,
    filter: 'cloze',
    requests: [context, ''].flatMap((before) =>
      texts.map((text): readonly [string, string] => [before, text]),
    ),
    logLikelihoods: [...logLikelihoods, ...unconditional],
    metrics,
    more: { subject: domain },
  });
}
