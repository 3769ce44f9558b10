# A bare Debian 12 with Rust, and then what anybody does: the packages, and the demo.
#   docker build -t lucet . && docker run --rm lucet
FROM debian:12

RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl gcc git libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
RUN curl -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain stable
ENV PATH=/root/.cargo/bin:$PATH

WORKDIR /lucet
COPY . .
RUN make deps
RUN make demo
CMD ["make", "test"]
