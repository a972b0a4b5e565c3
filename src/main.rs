fn main() {
    mq::fs::end(mq::cli::main().code())
}
