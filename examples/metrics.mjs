// Reads what the runs in a folder have recorded: node examples/metrics.mjs [FOLDER]
import { listRuns } from 'locmoe';

for (const run of await listRuns(process.argv[2] ?? 'runs')) {
  const steps = run.steps();
  const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
  const ms = steps.map((step) => step.stepMs).sort((a, b) => a - b)[Math.floor(steps.length / 2)];
  console.log(
    `${run.runId}: ${run.record.state}, ${steps.length} steps, ${tokens} tokens, median ${ms?.toFixed(0)} ms`,
  );
  for (const { layer, routed, kept } of steps.at(-1)?.layers ?? []) {
    const sum = (counts) => counts.reduce((total, count) => total + count, 0);
    console.log(`  layer ${layer}: ${sum(kept)} of ${sum(routed)} choices kept; by expert ${kept.join(' ')}`);
  }
  for (const { code, step } of run.failures()) console.log(`  failed with ${code} at step ${step}`);
}
