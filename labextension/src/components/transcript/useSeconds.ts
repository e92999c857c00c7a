import * as React from 'react';

/** performance.now(), twice a second while `on`. */
export function useSeconds(on: boolean): number {
  const [now, setNow] = React.useState(() => performance.now());
  React.useEffect(() => {
    if (!on) {
      return;
    }
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, [on]);
  return now;
}
