// Browsers refuse to start web workers in pages that are opened from files, and the search runs in one. On such
// pages this class replaces Worker: it runs the script in a hidden frame of the page. It implements what the
// search uses: postMessage, onmessage, addEventListener and terminate. In the frame, importScripts returns a
// promise, which the search awaits.
"use strict";

if (location.protocol === "file:") {
  const loadScript = (page, url) =>
    new Promise((resolve, reject) => {
      const script = page.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`cannot load ${url}`));
      page.body.append(script);
    });

  window.Worker = class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);

      const scope = this.frame.contentWindow;
      const page = scope.document;
      page.open();
      page.write("<!doctype html><body></body>");
      page.close();
      scope.postMessage = (data) => this.receive(structuredClone(data));
      scope.importScripts = async (...urls) => {
        for (const each of urls) await loadScript(page, each);
      };
      this.ready = loadScript(page, url).then(() => scope);
    }

    receive(data) {
      const event = new MessageEvent("message", { data });
      this.onmessage?.(event);
      this.dispatchEvent(event);
    }

    async postMessage(data) {
      const scope = await this.ready;
      scope.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
