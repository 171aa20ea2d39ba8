import { differenceOf, withInterval } from '@locmoe/bench/internal/pairs';
import { mean, spreadOf } from '@locmoe/bench/internal/statistics';
import { type Picture, picturesOf } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import { percent, signedPercent, table, withSpread } from '../kit/text.js';
import { type Change, type Contrast, changeOf, contrastsOf } from './contrasts.js';
import type { Arm, Design, Goal, Question } from './design.js';
import { SIGNIFICANCE } from './equivalence.js';
import { MEASURES, type Measure } from './measures.js';
import { type Compared, geometricMean, Results } from './results.js';

export function reportOf(compared: Compared): Report {
  const { design, runs } = compared;
  const results = new Results(compared);
  const shown = design.questions.filter(({ measures }) => measures.includes('perplexity'));
  return {
    view: {
      numRuns: runs.length,
      commits: [...new Set(runs.map(({ commit }) => commit))].join(', ') || 'none',
      screening: design.seeds.screening.join(', '),
      confirming: design.seeds.confirming.join(', '),
      testSequences: design.testSequences,
      significance: SIGNIFICANCE,
      contrasts: contrastTable(contrastsOf(design, results)),
      ranking: rankingTable(design, results),
      trend: trendTable(design, results),
      questions: design.questions.map((question) => {
        const { planned, missing } = results.progress(question);
        return {
          title: question.title,
          stage: question.stage,
          missing: missing === 0 ? null : { missing, planned },
          references: question.references.map(({ label }) => label).join('; '),
          table: questionTable(question, design, results),
          reference: question.references[0]!.label,
          course: courseTable(question, results),
        };
      }),
      settings: settingsOf(compared),
    },
    pictures: [gap(design, results), curves(shown, results), locality(shown, results)],
    figures: figuresOf(compared, results),
  };
}

/** Returns what recompute.py computes anew from the lines of the runs. */
function figuresOf({ design, cells }: Compared, results: Results): object {
  const runsOf = (question: Question, arm: Arm, measure: Measure | 'timeToLoss') => {
    const kind = measure === 'timeToLoss' ? 'time' : MEASURES[measure].kind;
    const cell = cells.find(
      (each) => each.question.id === question.id && each.arm.id === arm.id && each.kind === kind,
    );
    const seeds = results.of(question, arm, kind).map(({ seed }) => seed);
    return { question: question.id, arm: arm.id, measure, kind, settings: cell!.settings, seeds };
  };
  const cellsOf = (isCompared: boolean) =>
    design.questions.flatMap((question) =>
      question.measures
        .filter((measure) => MEASURES[measure].isCompared === isCompared)
        .flatMap((measure) => question.arms.map((arm) => ({ question, arm, measure }))),
    );
  return {
    shown: cellsOf(false).flatMap(({ question, arm, measure }) => {
      const values = results.values(question, arm, measure);
      return values.length === 0
        ? []
        : [{ ...runsOf(question, arm, measure), median: spreadOf(values).median }];
    }),
    arms: cellsOf(true).flatMap(({ question, arm, measure }) => {
      const runs = runsOf(question, arm, measure);
      if (runs.seeds.length === 0) return [];
      const against = question.references.flatMap((reference) => {
        const difference = differenceOf(results.pairs(question, arm, reference, measure));
        if (difference === null || reference.id === arm.id) return [];
        const { meanDifference: change, interval } = difference;
        return [{ ...runsOf(question, reference, measure), change, ...interval }];
      });
      return [{ ...runs, mean: geometricMean(results.values(question, arm, measure)).mean, against }];
    }),
    trends: trendsOf(design, results).map(({ arm, reference, lengths, gaps, difference }) => ({
      questions: lengths.map(({ id }) => id),
      arm: arm.id,
      reference: reference.id,
      seeds: gaps.map(({ seed }) => seed),
      change: difference.meanDifference,
      ...difference.interval,
    })),
    courses: design.questions.flatMap((question) =>
      coursesOf(question, results).map(({ arm, reference, seeds, points }) => ({
        question: question.id,
        arm: arm.id,
        reference: reference.id,
        seeds,
        points: points.map(({ step, difference }) => ({
          step,
          change: difference.meanDifference,
          ...difference.interval,
        })),
      })),
    ),
    tests: contrastsOf(design, results).map(({ measure, question, arm, reference, ...test }) => ({
      ...runsOf(question, arm, measure),
      reference: runsOf(question, reference, measure),
      goal: test.goal,
      planned: test.planned,
      p: test.p,
      pHolm: test.pHolm,
      verdict: test.verdict,
    })),
  };
}

function changeText({ difference, pairs, unreached }: Change): string {
  return difference === null ? `does not get there in ${unreached} of ${pairs}` : withInterval(difference);
}

function goalText(goal: Goal): string {
  return 'within' in goal ? `equal within ${percent(goal.within)}` : `at most ${signedPercent(goal.atMost)}`;
}

function contrastTable(contrasts: readonly Contrast[]): string {
  if (contrasts.length === 0) return '_No test is planned yet._';
  const pCell = (p: number | null) => (p === null ? '' : p < 0.001 ? '< 0.001' : p.toFixed(3));
  const isWhole = ({ pairs, planned }: Contrast) => pairs === planned;
  return table([
    ['contrast', 'mean change (95 % interval)', 'tested', 'p', 'p (Holm)', 'verdict'],
    ...contrasts.map((each) => [
      `${each.arm.label}: ${titleOf(each.measure)} against ${each.reference.label}`,
      each.pairs === 0 ? 'no run' : changeText(each),
      goalText(each.goal),
      pCell(each.p),
      pCell(each.pHolm),
      each.verdict === null
        ? `${isWhole(each) ? 'undecided' : `${each.pairs} of ${each.planned} pairs`}`
        : `**${each.verdict}**`,
    ]),
  ]);
}

function titleOf(measure: Measure | 'timeToLoss'): string {
  return measure === 'timeToLoss' ? 'time to its last loss' : MEASURES[measure].title;
}

function questionTable(question: Question, { contrasts }: Design, results: Results): string {
  const { arms, references } = question;
  const timed = contrasts.filter((each) => each.question === question && each.measure === 'timeToLoss');
  const measures = (Object.keys(MEASURES) as Measure[]).filter((name) => question.measures.includes(name));
  return table([
    [
      'arm',
      ...measures.flatMap((name) => [
        MEASURES[name].title,
        ...(MEASURES[name].isCompared ? references.map(({ label }) => `vs ${label}`) : []),
      ]),
      ...timed.map(({ reference }) => `time to the last loss of ${reference.label}`),
    ],
    ...arms.map((arm) => [
      arm.label,
      ...measures.flatMap((name) => [
        valueCell(results.values(question, arm, name), name),
        ...(MEASURES[name].isCompared
          ? references.map((reference) => differenceCell(question, arm, reference, name, results))
          : []),
      ]),
      ...timed.map(({ reference, measure }) => differenceCell(question, arm, reference, measure, results)),
    ]),
  ]);
}

/** Ranks the arms of the questions that ask for it, each against the table with as many experts a token. */
function rankingTable({ questions }: Design, results: Results): string {
  const ranked = questions
    .filter(({ isRanked }) => isRanked)
    .flatMap((question) =>
      question.arms.map((arm) => ({ question, arm, reference: question.references[0]! })),
    )
    .filter(({ arm, reference }) => arm.id !== reference.id)
    .flatMap(({ question, arm, reference }) => {
      const difference = differenceOf(results.pairs(question, arm, reference, 'perplexity'));
      const idShares = results.values(question, arm, 'idShare');
      return difference === null ? [] : [{ arm, reference, difference, idShares }];
    })
    .sort((a, b) => a.difference.meanDifference - b.difference.meanDifference);
  if (ranked.length === 0) return '_No run yet._';
  return table([
    ['arm', 'its table', 'perplexity against it (95 % interval)', MEASURES.idShare.title],
    ...ranked.map(({ arm, reference, difference, idShares }) => [
      arm.label,
      reference.label,
      withInterval(difference),
      valueCell(idShares, 'idShare'),
    ]),
  ]);
}

/** Returns the change of each arm against the first reference at each validation, over the seeds that both have. */
function coursesOf(question: Question, results: Results) {
  if (!question.showsCourse) return [];
  const reference = question.references[0]!;
  return question.arms.flatMap((arm) => {
    const pairs = results.of(question, arm, 'quality').flatMap((run) => {
      const other = results.of(question, reference, 'quality').find(({ seed }) => seed === run.seed);
      return other === undefined || arm.id === reference.id ? [] : [{ run, other }];
    });
    const points = (pairs[0]?.run.curve ?? []).flatMap(({ step }, i) => {
      const perplexities = pairs.map(({ run, other }) => ({
        own: Math.exp(run.curve[i]!.loss),
        other: Math.exp(other.curve[i]!.loss),
      }));
      const difference = differenceOf(perplexities);
      return difference === null ? [] : [{ step, difference }];
    });
    return points.length === 0 ? [] : [{ arm, reference, seeds: pairs.map(({ run }) => run.seed), points }];
  });
}

function courseTable(question: Question, results: Results): string | null {
  const courses = coursesOf(question, results);
  if (courses.length === 0) return null;
  return table([
    ['arm', ...courses[0]!.points.map(({ step }) => `${step.toLocaleString('en')} updates`)],
    ...courses.map(({ arm, points }) => [
      arm.label,
      ...points.map(({ difference }) => withInterval(difference)),
    ]),
  ]);
}

function valueCell(values: readonly number[], measure: Measure): string {
  const { isCompared, format } = MEASURES[measure];
  if (values.length === 0) return '';
  if (!isCompared || values.includes(0)) return withSpread(spreadOf(values), format);
  const { mean, interval } = geometricMean(values);
  if (interval === null) return `${format(mean)} (one seed)`;
  const [low, high] = [format(interval.low), format(interval.high)];
  return low === high ? format(mean) : `${format(mean)} (${low} to ${high})`;
}

function differenceCell(
  question: Question,
  arm: Arm,
  reference: Arm,
  measure: Contrast['measure'],
  results: Results,
): string {
  const pairs = arm.id === reference.id ? [] : results.pairs(question, arm, reference, measure);
  return pairs.length === 0 ? '' : changeText(changeOf(pairs));
}

function settingsOf({ design: { questions } }: Compared): string {
  const arms = new Map(questions.flatMap((question) => question.arms.map((arm) => [arm.id, arm])));
  return [...arms.values()]
    .map(({ id, label, sets, routes, layout }) => {
      const more = [
        ...sets.map((set) => `\`${set}\``),
        ...(routes === undefined ? [] : [`\`train.routes=${routes}\``]),
        ...(layout === undefined ? [] : [`layout ${layout}`]),
      ];
      return `- ${label} (\`${id}\`): ${more.join(', ')}`;
    })
    .join('\n');
}

const picture = picturesOf('gates');

function gap({ questions }: Design, results: Results): Picture | null {
  const rows = questions
    .filter(({ curve }) => curve !== undefined)
    .flatMap((question) =>
      question.arms.flatMap((arm) => {
        const difference = differenceOf(results.pairs(question, arm, question.references[0]!, 'perplexity'));
        if (difference === null || arm.id === question.references[0]!.id) return [];
        const { steps, tokensPerStep } = results.of(question, arm, 'quality')[0]!;
        const { meanDifference: mean, interval } = difference;
        const tokens = (steps * tokensPerStep) / 1e6;
        return [
          {
            arm: `${arm.label}, ${question.curve}`,
            tokens,
            mean,
            low: interval?.low ?? mean,
            high: interval?.high ?? mean,
          },
        ];
      }),
    );
  return picture('gap', rows);
}

/**
 * Returns for each arm of the curve its gap at each length, by seed, and how the ratio to its table changes with ten times the tokens:
 * the mean over the seeds of the slopes by least squares of its logarithm on that of the tokens. Seeds without all lengths are left out.
 */
function trendsOf({ questions }: Design, results: Results) {
  const curves = new Set(questions.flatMap(({ curve }) => curve ?? []));
  return [...curves].flatMap((curve) =>
    trendsOfCurve(
      questions.filter((question) => question.curve === curve),
      results,
    ),
  );
}

function trendsOfCurve(lengths: readonly Question[], results: Results) {
  const reference = lengths[0]!.references[0]!;
  const { kind, of } = MEASURES.perplexity;
  const gapsOf = (arm: Arm, seed: number) =>
    lengths.flatMap((question) => {
      const [own, other] = [arm, reference].map((each) =>
        results.of(question, each, kind).find((run) => run.seed === seed),
      );
      if (own === undefined || other === undefined) return [];
      return [{ tokens: own.steps * own.tokensPerStep, ratio: of(own)! / of(other)! }];
    });
  return lengths[0]!.arms
    .filter(({ id }) => id !== reference.id)
    .flatMap((arm) => {
      const gaps = results
        .of(lengths[0]!, arm, kind)
        .map(({ seed }) => ({ seed, points: gapsOf(arm, seed) }))
        .filter(({ points }) => points.length === lengths.length);
      const difference = differenceOf(gaps.map(({ points }) => ({ own: 10 ** slopeOf(points), other: 1 })));
      return difference === null
        ? []
        : [{ arm, reference, curve: lengths[0]!.curve, lengths, gaps, difference }];
    });
}

function slopeOf(points: readonly { readonly tokens: number; readonly ratio: number }[]): number {
  const [xs, ys] = [
    points.map(({ tokens }) => Math.log10(tokens)),
    points.map(({ ratio }) => Math.log10(ratio)),
  ];
  const [meanX, meanY] = [mean(xs), mean(ys)];
  const along = xs.reduce((sum, x, i) => sum + (x - meanX) * (ys[i]! - meanY), 0);
  return along / xs.reduce((sum, x) => sum + (x - meanX) ** 2, 0);
}

function trendTable(design: Design, results: Results): string | null {
  const trends = trendsOf(design, results);
  if (trends.length === 0) return null;
  // All curves begin with the same lengths, and the first has the longest too.
  const [{ lengths }] = trends as [(typeof trends)[number]];
  return table([
    ['arm', 'seed', ...lengths.map(({ title }) => title), 'with ten times the tokens (95 % interval)'],
    ...trends.flatMap(({ arm, curve, gaps, difference }) => {
      const name = `${arm.label}, ${curve}`;
      return [
        ...gaps.map(({ seed, points }) => [
          name,
          `${seed}`,
          ...lengths.map((_, i) => (i < points.length ? signedPercent(points[i]!.ratio - 1) : '')),
          signedPercent(10 ** slopeOf(points) - 1),
        ]),
        [name, 'all', ...lengths.map(() => ''), withInterval(difference)],
      ];
    }),
  ]);
}

/** Returns the arms of the confirming stage, each once; if it has none, those of all questions. */
function armsToShow(questions: readonly Question[]): [Question, Question['arms'][number]][] {
  const claimed = questions.filter(({ stage }) => stage === 'confirming');
  const arms = (claimed.length > 0 ? claimed : questions).flatMap((question) =>
    question.arms.map((arm): [Question, typeof arm] => [question, arm]),
  );
  return arms.filter(([, { label }], i) => arms.findIndex(([, other]) => other.label === label) === i);
}

function curves(questions: readonly Question[], results: Results): Picture | null {
  const rows = armsToShow(questions).flatMap(([question, arm]) => {
    const runs = results.of(question, arm, 'quality');
    return (runs[0]?.curve ?? []).map(({ step }, i) => ({
      arm: arm.label,
      tokens: (step * runs[0]!.tokensPerStep) / 1e6,
      perplexity: geometricMean(runs.flatMap(({ curve }) => curve[i] ?? []).map(({ loss }) => Math.exp(loss)))
        .mean,
    }));
  });
  return picture('curves', rows);
}

function locality(questions: readonly Question[], results: Results): Picture | null {
  const rows = armsToShow(questions).flatMap(([question, arm]) => {
    const [shares, perplexities] = (['onNodeShare', 'perplexity'] as const).map((measure) =>
      results.values(question, arm, measure),
    );
    if (shares!.length === 0) return [];
    const { mean, interval } = geometricMean(perplexities!);
    return [
      {
        arm: arm.label,
        share: shares!.reduce((sum, each) => sum + each, 0) / shares!.length,
        perplexity: mean,
        low: interval?.low ?? mean,
        high: interval?.high ?? mean,
      },
    ];
  });
  return picture('locality', rows);
}
