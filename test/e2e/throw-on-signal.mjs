// Loaded into every process of a run with NODE_OPTIONS=--import. On SIGUSR2 the coordinator alone throws uncaught
// errors, as many as LOCMOE_TEST_THROWS says, or rejects a promise.
const boom = () => {
  throw new Error('nobody caught this');
};
const { LOCMOE_TEST_THROWS = '' } = process.env;
if (process.argv[2] === 'train')
  process.on('SIGUSR2', () => {
    if (LOCMOE_TEST_THROWS === 'rejection') void Promise.reject(new Error('nobody caught this'));
    else for (let i = 0; i < Number(LOCMOE_TEST_THROWS); i++) setImmediate(boom);
  });
