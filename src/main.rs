fn main() -> std::process::ExitCode {
    mq::cli::main()
}
