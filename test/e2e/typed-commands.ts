import { NIGHTLY } from '../nightly.js';

// The commands that documented-commands.test.ts types, and those that it leaves to other tests.

/** A command, and what it has to print. */
export type Printing = readonly [command: string, printed: RegExp];

/** Exit codes of `locmoe logs`, where a match depends on the run. */
export const MATCH_OR_NOT = [0, 1];

export const TRAIN = 'npx locmoe train --config tiny';
export const OWN_TEXT = `npx locmoe train --text 'notes/**/*.txt'`;
export const OWN_PROMPT: Printing = ['npx locmoe generate --checkpoint runs/RUN --prompt "Once"', /^Once/];
export const RESUME = 'npx locmoe train --resume';
export const FORK = 'npx locmoe train --resume runs/RUN/checkpoints/step-000100 --fork';
export const ONE_NODE = 'npx locmoe train --config tiny --set train.steps=200 --nodes 1 --workers-per-node 4';
export const HTTP = 'npx locmoe train --config tiny --http 127.0.0.1:9464';
export const TENSORBOARD = 'npx locmoe train --config tiny --tensorboard events';
export const STOP = 'npx locmoe stop';
export const FLIGHT = 'npx locmoe flight';
export const JQ = 'npx locmoe logs --json | jq .msg';
/** Commands about a live run. */
export const STATUS: readonly Printing[] = [
  ['npx locmoe status', /running/],
  ['npx locmoe inspect', /http:\/\/127\.0\.0\.1:\d+/],
];
/** Commands that end with the run that they follow. */
export const FOLLOWING = [
  'npx locmoe logs --follow --level warn',
  `npx locmoe logs '{rank="3"} |= "NaN"' --since 5m -C 10 --follow`,
];
/**
 * Commands about a run that is over. Where the pattern is empty nothing has to match: the run is short and has no
 * fault.
 */
export const AFTERWARDS: readonly (Printing | readonly [...Printing, codes: readonly number[]])[] = [
  ['npx locmoe logs', /node 0 rank 1 /],
  [`npx locmoe logs '{rank="3"} |= "NaN"' -C 10`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs '|~ "(?i)timeout"' --level warn --rank 0`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs '| json | step="120"' --run runs/RUN`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs 'sum by (rank) (rate({source="worker"}[1m]))'`, /\{rank="3"\}/],
  ['npx locmoe trace', /^trace-tiny-.*\.json: [\d,]+ events; open it at /],
  ['npx locmoe generate --checkpoint runs/RUN --prompt "The" --domain en', /^The/],
  [
    'npx locmoe generate --checkpoint runs/RUN --prompt "The" --domain en --temperature 0.7 --top-p 0.95',
    /^The/,
  ],
  [
    'echo "The state of" | npx locmoe generate --checkpoint runs/RUN --prompt - --domain en --stop "."',
    /^The state of/,
  ],
  ['npx locmoe generate --checkpoint runs/RUN --interactive --domain en', /^/],
  ['npx locmoe eval --checkpoint runs/RUN', /telecom/],
  ['npx locmoe export --checkpoint runs/RUN --to onnx --output my-onnx', /^ *onnx\/model\.onnx +[\d.]+ MB$/m],
  [
    'npx locmoe export --checkpoint runs/RUN --to huggingface --output my-model',
    /^ +model\.safetensors +[\d.]+ MB$/m,
  ],
  ['npx locmoe export --checkpoint runs/RUN --to web --output my-page', /^ +index\.html +/m],
  ['npx locmoe export --checkpoint runs/RUN --to web --with-routes --output my-routes', /^ +index\.html +/m],
  [
    'npx locmoe export --checkpoint runs/RUN --sub-model --domain telecom --output my-telecom',
    /^domain telecom: 2 of 8 experts in each sparse layer, /m,
  ],
];
export const CERTS = ['locmoe certs --out tls', 'locmoe certs --out deploy/kubernetes/tls'];
const STEP_TIME = /^step [\d.]+ ms, [\d,]+ tokens\/s$/m;
export const PLANS: readonly Printing[] = [
  ['npx locmoe plan --config small --nodes 4 --workers-per-node 2 --link 100gbps,5us', STEP_TIME],
  ['npx locmoe plan --config tiny --nodes 2 --workers-per-node 2 --shared-machine', STEP_TIME],
  [
    'npx locmoe plan --config small --nodes 16 --workers-per-node 2 --link 100gbps,5us --set train.globalBatch=64 --set moe.numExperts=32',
    STEP_TIME,
  ],
];
export const DOCTOR: readonly Printing[] = [['npx locmoe doctor', /^ok {4}tensorflow /m]];
export const CONFIG: readonly Printing[] = [
  ['npx locmoe config schema > locmoe.schema.json', /^$/],
  ['npx locmoe config show --config tiny', /^ {2}localityFloor: 0.1$/m],
  ['npx locmoe config outline --config tiny', /^ +choose the best by s$/m],
  ['npx locmoe config docs', /^# Configuration$/m],
];
/** Commands that serve until Ctrl-C. */
export const PAGES: readonly Printing[] = [
  ['locmoe inspect', /http:\/\/127\.0\.0\.1:\d+/],
  ['locmoe inspect --run tiny-20260102-030405', /http:\/\/127\.0\.0\.1:\d+/],
  ['locmoe inspect --http 0.0.0.0:8080 --token-file tls/token', /:8080/],
  ['npx locmoe api --checkpoint runs/RUN', /:8000\/v1/],
  ['npx locmoe api --checkpoint runs/RUN --host 0.0.0.0 --token-file tls/token', /:8000\/v1/],
];
/** Commands that take minutes. Other tests run them completely on less work; here they only have to start measuring. */
export const BENCHES: readonly Printing[] = [
  ['npx locmoe bench routers --quick', /^hash-seed1: 30 steps$/m],
  ['npx locmoe bench step', /^tiny: 60 steps$/m],
  ['npx locmoe bench step --bill', /^tiny: 60 steps after/m],
  ['npx locmoe bench collectives --quick', /^ {2}all-to-all 16 KiB: \S+/m],
  ['npx locmoe bench plan --calibrate', /^steps of one worker$/m],
  ['npx locmoe bench plan', /^steps of one worker$/m],
];
/** The output names what to install if PyTorch is missing. */
export const AGAINST_TORCH = 'npx locmoe bench step --peer torch';

const PRINTING = [STATUS, [OWN_PROMPT], AFTERWARDS, DOCTOR, CONFIG, PLANS, PAGES, BENCHES].flat();
const TRAININGS = [TRAIN, OWN_TEXT, RESUME, FORK, ONE_NODE, HTTP, TENSORBOARD];
const OTHERS = [STOP, FLIGHT, JQ, AGAINST_TORCH];

export const HERE: readonly string[] = [
  ...PRINTING.map(([command]) => command),
  ...TRAININGS,
  ...FOLLOWING,
  ...CERTS,
  ...OTHERS,
];
/** Commands that are not run here, with the test that runs them or the reason. */
export const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/^npx (--no-install )?locmoe$/, 'e2e/cli'],
  [
    /^npm (run (setup|build|check|check:fast|lint|quickstart)|test)$/,
    'CI runs these, or what they consist of',
  ],
  [/^npm run format$|^npx vitest run test\/routing$/, 'CI lints and tests all files'],
  [/^npm run proto$/, 'rpc/generated-types'],
  [/^npm run docs:api$|^npm run package$|^npm install .*locmoe-0\.2\.0\.tgz$/, 'e2e/package'],
  [/^npm run docs:site$|^npx locmoe train --config docs\/model\.yaml$/, 'e2e/site'],
  [/^node packages\/playground\/build\.mjs page$/, 'packages/playground/test builds it.'],
  [/^npx locmoe config show .*my-router\.mjs$/, 'cli/stranger-router'],
  [/my-router\.mjs|^python3 -m http\.server /, 'e2e/tutorials'],
  [/^npx locmoe config docs > docs/, 'config/reference'],
  [/^npx locmoe setup --corpus$|^scp |^export PATH=\/opt|^locmoe (setup|doctor)$/, 'e2e/package'],
  [/^(npx )?locmoe setup --corpus large$/, 'It downloads 150 MB.'],
  [/^(npx )?locmoe setup --webgpu$|^node scripts\/webgpu\.mjs /, 'e2e/set-up'],
  [/^npx locmoe train --config routers-large$/, 'It takes the large corpus.'],
  [
    /^npx locmoe export .*(--to gguf |my-(base|adapter)$)/,
    'a model of the family mixtral, which the run here is not',
  ],
  [/^npx locmoe train --config mixtral-tiny$|^npx locmoe .*\bsmollm\b/, 'e2e/llama'],
  [/^npx locmoe (runs\b|train --config tiny --name )/, 'cli/runs'],
  [/^npx locmoe train --config tiny --init /, 'e2e/init'],
  [/^npx locmoe train --config tiny --(set model\.numDenseLayers|inherit)/, 'e2e/inherit'],
  [/^npx locmoe train --init my-telecom$/, 'e2e/llama'],
  [/^npx locmoe train --text .* --print-config/, 'e2e/train-text'],
  [/^npx locmoe train --text notes=/, 'e2e/train-text'],
  [/^npx locmoe train --instruct |"What is the capital of Brellin\?"$/, 'e2e/fine-tune'],
  [/^(npx )?locmoe data inspect /, 'cli/data-inspect'],
  [/^npx locmoe eval .*--(cloze|task|compare)\b/, 'e2e/eval'],
  [/^npx locmoe doctor --config tiny$/, 'e2e/doctor'],
  [/^npx locmoe bench step --peer torch --quick$/, 'e2e/bench-step'],
  [/^npx locmoe (train|eval) .*--routes /, 'e2e/replay'],
  [/^npx locmoe (bench place$|train .*moe\.placement=|routes place )/, 'e2e/bench-place'],
  [/^npx locmoe (routes |eval .*--ablate|train .*train\.recordRoutes)/, 'e2e/routes'],
  [/^npx locmoe trace .*--steps /, 'e2e/trace'],
  [/^npx locmoe bench routers$/, 'e2e/bench-routers'],
  [/^npx locmoe bench kernels --webgpu$/, 'e2e/bench-kernels'],
  [/^npx locmoe bench step --device webgpu$/, 'e2e/bench-step'],
  [/^npx locmoe train --config mixtral-tiny --set train\.device=webgpu$/, 'e2e/webgpu'],
  [/^npx locmoe bench kernels$/, 'e2e/bench-kernels'],
  [/^npx locmoe bench recovery$/, 'e2e/soak'],
  [/^npx locmoe chaos /, 'e2e/chaos'],
  [/^npm run (study -- |bench:all)/, 'They take hours; studies/test/e2e runs them with less to do.'],
  [
    /^node scripts\/(chromium|base-image)\.mjs$|^packages\/bench\/peers\/install\.sh$/,
    'They install Debian packages.',
  ],
  [
    /^locmoe (serve|node) --c|^locmoe (status|logs|stop) --runs-dir|^export LOCMOE_TLS_DIR/,
    'cluster/machines',
  ],
  [/^locmoe generate --checkpoint \/shared/, 'cluster/machines'],
  [/^(sbatch|scancel) |^locmoe certs --out ~|^locmoe inspect --runs-dir runs\/JOB/, 'cluster/slurm'],
  [/^mpirun |^locmoe launch /, 'e2e/launch'],
  [/^docker (stop|kill)|docker compose |^curl .* http:\/\/127\.0\.0\.1:8080\/metrics$/, 'cluster/containers'],
  [/^docker (swarm|stack|service) |^export (LOCMOE_IMAGE|VOLUME_TYPE)/, 'cluster/containers'],
  [/^kubectl /, 'cluster/configuration'],
  [
    /^(logcli|lm_eval|tensorboard) |^export LOKI_|^curl http:\/\/127\.0\.0\.1:8000\/v1\//,
    'These are programs of others.',
  ],
];

/**
 * Commands that are typed here by day, those of a reader's first hour. Tests of the other commands run them on less
 * work.
 */
const BY_DAY: readonly string[] = [
  'npx locmoe logs',
  'npx locmoe generate --checkpoint runs/RUN --prompt "The" --domain en',
  'npx locmoe generate --checkpoint runs/RUN --interactive --domain en',
  'npx locmoe doctor',
  'npx locmoe config show --config tiny',
  'locmoe inspect',
  'npx locmoe api --checkpoint runs/RUN',
];

/** The commands of a list that are typed in this test run: all by night, some by day. */
export function now<T extends readonly [command: string, ...rest: readonly unknown[]]>(
  list: readonly T[],
): readonly T[] {
  return list.filter(([command]) => NIGHTLY || BY_DAY.includes(command));
}
