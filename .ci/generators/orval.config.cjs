// The clients of orval have their server's address built in.
module.exports = {
  restante: {
    input: "openapi.json",
    output: { target: "generated/orval.ts", client: "fetch", baseUrl: process.env.SERVER },
  },
};
