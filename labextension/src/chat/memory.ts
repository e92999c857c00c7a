/**
 * What this browser remembers: the conversation shown (per tab, else the last
 * one), the chosen model. A browser may refuse its storage; then nothing is kept.
 */

export interface IMemory {
  get(name: string): string | null;
  set(name: string, value: string | null): void;
}

/** In this tab first, then in the browser. */
export function browserMemory(scope: string): IMemory {
  const key = (name: string) => `cellar:${name}:${scope}`;
  const stores = () => [window.sessionStorage, window.localStorage];
  return {
    get: name => {
      try {
        for (const store of stores()) {
          const value = store.getItem(key(name));
          if (value !== null) {
            return value;
          }
        }
      } catch {
        // forbidden
      }
      return null;
    },
    set: (name, value) => {
      try {
        for (const store of stores()) {
          store.setItem(key(name), value ?? '');
        }
      } catch {
        // forbidden or full
      }
    }
  };
}
