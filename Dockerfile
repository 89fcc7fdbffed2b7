# The wheelhouse: every dependency checked against its hash in constraints.txt, and the service's own wheel.
FROM python:3.11-slim AS build
WORKDIR /src
COPY constraints.txt ./
RUN pip wheel --no-cache-dir --require-hashes --no-deps --wheel-dir /wheels -r constraints.txt
# `make web` before this puts what draws the dashboard's charts into the image; without it the page has tables alone.
COPY . .
RUN pip install --no-cache-dir --no-index --find-links /wheels hatchling \
 && pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# The image: only what the service needs at run time, from the wheelhouse and from nowhere else.
FROM python:3.11-slim
RUN useradd --create-home --uid 10001 anabranch \
 && install -d -o anabranch -g anabranch /var/lib/anabranch
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels 'anabranch[s3]'
USER anabranch
WORKDIR /var/lib/anabranch
VOLUME /var/lib/anabranch
ENTRYPOINT ["anabranch"]
CMD ["--help"]
