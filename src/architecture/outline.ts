import { groupBy } from '../group-by.js';
import type { Architecture, Attention, Block, Experts, FeedForward, Parameter } from './architecture.js';
import type { Choice, Rule, Scores } from './rule.js';

const SYMBOLS = { add: '+', subtract: '-', multiply: '*', divide: '/' } as const;
/** Column at which a block's details begin. */
const DETAILS = 42;

/** Returns a model as text: a line for each block, what it computes and its sizes; equal layers in a row share their lines. */
export function outline({ tokens, positions, blocks, norm, head }: Architecture): string {
  const layers = groupBy(blocks, ({ layer }) => layer);
  const stacks: { first: string; last: string; lines: readonly string[] }[] = [];
  for (const [layer, ofLayer] of layers) {
    const lines = linesOf(ofLayer);
    const below = stacks.at(-1);
    if (below?.lines.join('\n') === lines.join('\n')) below.last = layer;
    else stacks.push({ first: layer, last: layer, lines });
  }
  const embedding = [tokens, positions].filter((each) => each !== null).map(sized);
  return [
    titled('embedding', embedding.join(' + ')),
    ...stacks.flatMap(({ first, last, lines }) => {
      const name = first === last ? first : `${first} to ${last.split('.').at(-1)}`;
      return lines.map((line, i) => titled(i === 0 ? name : '', line));
    }),
    titled('logits', `${norm.op}(x) times ${sized(head)}`),
  ].join('\n');
}

function titled(title: string, text: string): string {
  return `${title.padEnd(16)}${text}`.trimEnd();
}

function sized({ name, shape }: Parameter): string {
  return `${name} [${shape.join(', ')}]`;
}

function linesOf(blocks: readonly Block[]): string[] {
  return blocks.flatMap(({ norm, operation }) => {
    const formula = `x + ${operation.op}(${norm.op}(x))`.padEnd(DETAILS);
    const [first, ...others] = detailsOf(operation);
    return [formula + first, ...others.map((line) => `  ${line}`)];
  });
}

function detailsOf(operation: Attention | FeedForward | Experts): string[] {
  if (operation.op === 'feedForward') return [networkOf(operation)];
  if (operation.op === 'attention') return [attentionOf(operation)];
  const { rule, numExperts, network, shared } = operation;
  const besides =
    shared === null ? '' : `, and shared: ${networkOf(shared.network)}${shared.gate ? ', gated' : ''}`;
  return [
    `${numExperts} experts: ${networkOf(network)}${besides}`,
    ...(rule === null ? ['the rule of the router is code'] : ruleOf(rule)),
  ];
}

function networkOf({ activation, into }: FeedForward): string {
  return `${into[0]!.shape[1]} hidden units, ${activation}`;
}

function attentionOf({ numHeads, numKeyValueHeads, headDim, projections, rotation }: Attention): string {
  return [
    `${numHeads} heads of ${headDim}`,
    numKeyValueHeads !== numHeads && `${numKeyValueHeads} of keys and values`,
    projections.some(({ of }) => of !== 'input') && 'queries of the next position',
    projections.some(({ bias }) => bias !== null) && 'with bias',
    projections.some(({ headNorm }) => headNorm !== null) && 'normalised',
    rotation !== null && 'rotated by position',
  ]
    .filter(Boolean)
    .join(', ');
}

/** Returns the rule as formulas; scores that occur more than once are named. */
function ruleOf({ choose, keep, weigh }: Rule<Parameter>): string[] {
  const seen = new Set<Scores<Parameter>>();
  const names = new Map<Scores<Parameter>, string>();
  const lines: string[] = [];
  const name = (scores: Scores<Parameter> | undefined): void => {
    if (scores === undefined || scores.op === 'number' || names.has(scores)) return;
    if (seen.has(scores)) {
      const letter = 'stuvw'[names.size] ?? `s${names.size}`;
      lines.push(`${letter} = ${formulaOf(scores, names)}`);
      names.set(scores, letter);
      return;
    }
    seen.add(scores);
    for (const inner of innerOf(scores)) name(inner);
  };
  for (const scores of [choose.op === 'table' ? undefined : choose.by, keep?.scores, weigh.by]) name(scores);
  const formula = (scores: Scores<Parameter>) => formulaOf(scores, names);
  return [
    ...lines,
    `choose ${choiceOf(choose, formula)}`,
    ...(keep === null ? [] : [`keep where ${formula(keep.scores)} >= ${shortName(keep.threshold)}`]),
    `weight ${formula(weigh.by)}${weigh.share ? ', divided by its sum over the chosen' : ''}`,
  ];
}

function innerOf(scores: Scores<Parameter>): Scores<Parameter>[] {
  if ('of' in scores) return [scores.of];
  return 'left' in scores ? [scores.left, scores.right] : [];
}

function choiceOf(choose: Choice<Parameter>, formula: (scores: Scores<Parameter>) => string): string {
  if (choose.op === 'table')
    return choose.tables
      .map(
        ({ experts, before }) => `${shortName(experts)}[domain, token${before ? ` ${before} before` : ''}]`,
      )
      .join(', ');
  const by = formula(choose.by);
  if (choose.op === 'topP')
    return `the fewest best whose ${by} sum to ${choose.sum}, at most ${choose.count}`;
  if (choose.op === 'topOfGroups')
    return `the best${choose.count > choose.groups ? ` ${choose.count / choose.groups}` : ''} of each of ${choose.groups} groups by ${by}`;
  const limit = choose.limit && ` in ${choose.limit.open} of ${choose.limit.groups} groups`;
  return `the best${choose.count > 1 ? ` ${choose.count}` : ''}${limit ?? ''} by ${by}`;
}

function formulaOf(scores: Scores<Parameter>, names: ReadonlyMap<Scores<Parameter>, string>): string {
  const known = names.get(scores);
  if (known !== undefined) return known;
  const inner = (of: Scores<Parameter>) => formulaOf(of, names);
  switch (scores.op) {
    case 'linear':
      return `x ${shortName(scores.weight)}`;
    case 'cosine':
      return `cos(x, ${shortName(scores.weight)})`;
    case 'grouped':
      return `groupMeans(x${scores.factors ? ` ${shortName(scores.factors)}` : ''})`;
    case 'groupedCosine':
      return `cos(x, ${scores.factors ? shortName(scores.factors) : 'groups'})`;
    case 'ofId':
      return `${shortName(scores.table)}[token]`;
    case 'parameter':
      return shortName(scores.parameter);
    case 'number':
      return String(Number(scores.value.toPrecision(4)));
    case 'add':
    case 'subtract':
    case 'multiply':
    case 'divide': {
      const isSum = (of: Scores<Parameter>) => !names.has(of) && (of.op === 'add' || of.op === 'subtract');
      const isProduct = scores.op === 'multiply' || scores.op === 'divide';
      const [left, right] = [scores.left, scores.right].map((of) =>
        isProduct && isSum(of) ? `(${inner(of)})` : inner(of),
      );
      return `${left} ${SYMBOLS[scores.op]} ${right}`;
    }
    default:
      return `${scores.op}(${inner(scores.of)})`;
  }
}

function shortName({ name }: Parameter): string {
  return name.split('.').at(-1)!;
}
