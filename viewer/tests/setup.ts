// The modules of the state look at the page when they are loaded; this is the little of it that they need.
Object.assign(globalThis, {
  location: { hash: "", pathname: "/", host: "127.0.0.1", protocol: "http:" },
  history: { replaceState: () => undefined },
  document: { documentElement: { dataset: {}, lang: "" } },
  addEventListener: () => undefined,
});
