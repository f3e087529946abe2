// Pages may be changed by text in one way only: as the fragments that htmx swaps in, which the server wrote and escaped.
// No text becomes a script, whatever code asks for it: this policy makes none.
globalThis.trustedTypes?.createPolicy("default", { createHTML: (text) => text });
