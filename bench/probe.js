// Put into the page before JupyterLab loads. Keeps times (performance.now(), ms)
// of what a person does and sees; costs next to nothing while an answer streams.
(() => {
  const bench = {
    enter: 0, // keydown of Enter
    click: 0, // pointer or mouse click on Stop
    posted: 0, // fetch of POST turns
    first: 0, // first text of the answer in the DOM
    marked: 0, // the answer's last word in the DOM
    painted: 0, // ... and painted
    settled: 0, // last change of the answer's text
    tasks: [], // main-thread tasks over 50 ms
    mark: 'ENDMARK'
  };
  window.__bench = bench;
  bench.reset = () => {
    Object.assign(bench, {
      enter: 0, click: 0, posted: 0, first: 0, marked: 0, painted: 0, settled: 0
    });
    bench.tasks.length = 0;
  };
  document.addEventListener(
    'keydown',
    event => {
      if (event.key === 'Enter') {
        bench.enter = event.timeStamp;
      }
    },
    true
  );
  document.addEventListener('click', event => { bench.click = event.timeStamp; }, true);
  const fetch = window.fetch;
  window.fetch = function (input, init) {
    const url = typeof input === 'string' ? input : input.url;
    const method = (init && init.method) || (input && input.method) || 'GET';
    if (method === 'POST' && /cellar\/api\/turns(\?|$)/.test(url)) {
      bench.posted = performance.now();
    }
    return fetch.apply(this, arguments);
  };
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) {
      bench.tasks.push([entry.startTime, entry.duration]);
    }
  }).observe({ type: 'longtask', buffered: false });

  const inAnswer = node => {
    const element = node.nodeType === 1 ? node : node.parentElement;
    return element && element.closest('.jp-Cellar-markdown');
  };
  // A message sent from within a frame arrives when that frame has been painted.
  const afterPaint = done => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  };
  let inFrame = false;
  const nextFrame = window.requestAnimationFrame;
  window.requestAnimationFrame = callback =>
    nextFrame.call(window, time => {
      if (!inFrame) {
        inFrame = true;
        afterPaint(() => { inFrame = false; });
      }
      callback(time);
    });
  const seen = text => {
    if (bench.marked === 0 && text.includes(bench.mark)) {
      bench.marked = performance.now();
      const painted = () => { bench.painted = performance.now(); };
      if (inFrame) {
        afterPaint(painted);
      } else {
        nextFrame.call(window, () => afterPaint(painted));
      }
    }
  };
  new MutationObserver(records => {
    for (const record of records) {
      if (!inAnswer(record.target)) {
        // A whole block may arrive inside a new element.
        for (const node of record.addedNodes) {
          if (node.nodeType === 1 && node.querySelector?.('.jp-Cellar-markdown')?.textContent) {
            bench.first = bench.first || performance.now();
            seen(node.textContent);
          }
        }
        continue;
      }
      const now = performance.now();
      bench.settled = now;
      if (record.type === 'characterData') {
        bench.first = bench.first || now;
        seen(record.target.data);
      } else {
        for (const node of record.addedNodes) {
          const text = node.textContent;
          if (text) {
            bench.first = bench.first || now;
            seen(text);
          }
        }
      }
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
})();
