// Records every choice of a training, and asks of them in SQL: npm install @duckdb/node-api && node examples/routes.mjs [STEPS]
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { train } from 'locmoe';

const steps = Number(process.argv[2] ?? 100);
const recorded = { 'train.recordRoutes.every': Math.ceil(steps / 4), 'train.recordRoutes.share': 1 };
const { directory } = await train({ config: 'tiny', set: { 'train.steps': steps, ...recorded } }).result;
const database = await (await DuckDBInstance.create(':memory:')).connect();
await database.run(`CREATE VIEW routes AS FROM '${path.join(directory, 'routes/*.parquet')}'`);

async function ask(question, sql) {
  console.log(`\n${question}`);
  console.table((await database.runAndReadAll(sql)).getRowObjectsJson());
}

await ask(
  'How are the choices shared out among the experts, and how many stay on the node of their token?',
  `SELECT layer, expert, count(*)::INT AS choices, round(avg((link <> 'network')::INT), 3) AS "on the node",
     round(avg((outcome = 'kept')::INT), 3) AS kept, mode(domain) AS "most from"
   FROM routes GROUP BY ALL ORDER BY ALL`,
);
await ask(
  'How often is the expert the usual one of its id and domain in the step before?',
  `WITH usual AS (SELECT layer, step, domain, token, mode(expert) AS expert FROM routes GROUP BY ALL)
   SELECT now.layer, now.step, round(avg((now.expert = before.expert)::INT), 3) AS share
   FROM routes now JOIN usual before ON before.layer = now.layer AND before.domain = now.domain
     AND before.token = now.token AND before.step = (SELECT max(step) FROM usual WHERE step < now.step)
   GROUP BY ALL ORDER BY ALL`,
);
await ask(
  'Which links carry how many bytes?',
  `SELECT node AS "from node", expertNode AS "to node", sum(bytes)::INT AS bytes FROM routes GROUP BY ALL ORDER BY ALL`,
);
